"""ICT on NEU-Seg (Verma et al. 2019, arXiv 1903.03825).

Three kinds of defects on steel strips, a tenth labeled, simEps's protocol.

python -m imjax.main --config=configs/neu_seg_ict.py --config.data.dir=NEU_Seg --workdir=runs/neu_seg_ict

Cost: neither the presets nor the full protocol have been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("neu_seg", "ict", preset)
