from configs.base.own_data import folder_jointly


def get_config(preset: str | None = None):
    return folder_jointly("simeps", preset)
