"""CPS on NEU-Seg (Chen et al. 2021, arXiv 2106.01226).

Three kinds of defects on steel strips, a tenth labeled, simEps's protocol.

python -m imjax.main --config=configs/neu_seg_cps.py --config.data.dir=NEU_Seg --workdir=runs/neu_seg_cps

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.

Measured at `:small`, three seeds: test foreground mIoU 0.503 ± 0.026 over all nets (supervised 0.512). See
docs/results.md.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("neu_seg", "cps", preset)
