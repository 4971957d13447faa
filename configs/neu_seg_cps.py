from configs.base.joint_datasets import neu_seg


def get_config(preset: str | None = None):
    return neu_seg("cps", preset)
