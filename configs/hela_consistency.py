from configs.base.datasets import hela


def get_config(preset: str | None = None):
    return hela("consistency", preset)
