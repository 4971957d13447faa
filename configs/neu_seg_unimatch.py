"""UniMatch on NEU-Seg (Yang et al. 2023, arXiv 2208.09910).

Three kinds of defects on steel strips, a tenth labeled, simEps's protocol.

python -m imjax.main --config=configs/neu_seg_unimatch.py --config.data.dir=NEU_Seg \
  --workdir=runs/neu_seg_unimatch

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("neu_seg", "unimatch", preset)
