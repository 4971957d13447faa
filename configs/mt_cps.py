"""CPS on magnetic tiles (Chen et al. 2021, arXiv 2106.01226).

Five kinds of defects, 40 % labeled, simEps's protocol.

python -m imjax.main --config=configs/mt_cps.py --config.data.dir=MT --workdir=runs/mt_cps

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("mt", "cps", preset)
