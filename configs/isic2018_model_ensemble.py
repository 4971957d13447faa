from configs.base.datasets import isic2018


def get_config(preset: str | None = None):
    return isic2018("model_ensemble", preset)
