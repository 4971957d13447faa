"""Mean Teacher on DAGM 2007 (Tarvainen & Valpola 2017, arXiv 1703.01780).

Defects on textures, binary, a tenth labeled, simEps's protocol.

python -m imjax.main --config=configs/dagm_mean_teacher.py --config.data.dir=DAGM2007 \
  --workdir=runs/dagm_mean_teacher

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("dagm", "mean_teacher", preset)
