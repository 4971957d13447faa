from configs.base.datasets import camvid


def get_config(preset: str | None = None):
    return camvid("gt_im_pp", preset)
