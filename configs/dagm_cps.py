from configs.base.joint_datasets import dagm


def get_config(preset: str | None = None):
    return dagm("cps", preset)
