from configs.base.datasets import suim


def get_config(preset: str | None = None):
    return suim("input_ensemble", preset)
