"""UAPS on NEU-Seg (Sime et al., Computers in Industry 2023).

Three kinds of defects on steel strips, a tenth labeled, simEps's protocol.

python -m imjax.main --config=configs/neu_seg_uaps.py --config.data.dir=NEU_Seg --workdir=runs/neu_seg_uaps

Cost: neither the presets nor the full protocol have been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("neu_seg", "uaps", preset)
