from configs.base.own_data import folder


def get_config(preset: str | None = None):
    return folder("ldt", preset)
