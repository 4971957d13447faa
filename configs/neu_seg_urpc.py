"""URPC on NEU-Seg (Luo et al. 2021, arXiv 2012.07042).

Three kinds of defects on steel strips, a tenth labeled, simEps's protocol.

python -m imjax.main --config=configs/neu_seg_urpc.py --config.data.dir=NEU_Seg --workdir=runs/neu_seg_urpc

Cost: neither the presets nor the full protocol have been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("neu_seg", "urpc", preset)
