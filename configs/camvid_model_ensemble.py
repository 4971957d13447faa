from configs.base.datasets import camvid


def get_config(preset: str | None = None):
    return camvid("model_ensemble", preset)
