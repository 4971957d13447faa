"""UA-MT on NEU-Seg (Yu et al. 2019, arXiv 1907.07034).

Three kinds of defects on steel strips, a tenth labeled, simEps's protocol.

python -m imjax.main --config=configs/neu_seg_ua_mt.py --config.data.dir=NEU_Seg --workdir=runs/neu_seg_ua_mt

Cost: neither the presets nor the full protocol have been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("neu_seg", "ua_mt", preset)
