"""Mean Teacher on magnetic tiles (Tarvainen & Valpola 2017, arXiv 1703.01780).

Five kinds of defects, 40 % labeled, simEps's protocol.

python -m imjax.main --config=configs/mt_mean_teacher.py --config.data.dir=MT --workdir=runs/mt_mean_teacher

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("mt", "mean_teacher", preset)
