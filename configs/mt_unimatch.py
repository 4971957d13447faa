from configs.base.joint_datasets import mt


def get_config(preset: str | None = None):
    return mt("unimatch", preset)
