"""R-Drop on NEU-Seg (Wu et al. 2021, arXiv 2106.14448).

Three kinds of defects on steel strips, a tenth labeled, simEps's protocol.

python -m imjax.main --config=configs/neu_seg_rdrop.py --config.data.dir=NEU_Seg --workdir=runs/neu_seg_rdrop

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("neu_seg", "rdrop", preset)
