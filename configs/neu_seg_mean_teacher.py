"""Mean Teacher on NEU-Seg (Tarvainen & Valpola 2017, arXiv 1703.01780).

Three kinds of defects on steel strips, a tenth labeled, simEps's protocol.

python -m imjax.main --config=configs/neu_seg_mean_teacher.py --config.data.dir=NEU_Seg \
  --workdir=runs/neu_seg_mean_teacher

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("neu_seg", "mean_teacher", preset)
