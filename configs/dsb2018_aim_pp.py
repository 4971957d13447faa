from configs.base.datasets import dsb2018


def get_config(preset: str | None = None):
    return dsb2018("aim_pp", preset)
