from configs.base.joint_datasets import la


def get_config(preset: str | None = None):
    return la("mean_teacher", preset, metassl=True)
