from configs.base.datasets import cityscapes


def get_config(preset: str | None = None):
    return cityscapes("im", preset)
