from configs.base.joint_datasets import acdc


def get_config(preset: str | None = None):
    return acdc("mean_teacher", preset)
