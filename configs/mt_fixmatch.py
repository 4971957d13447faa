"""FixMatch on magnetic tiles (Sohn et al. 2020, arXiv 2001.07685).

Five kinds of defects, 40 % labeled, simEps's protocol.

python -m imjax.main --config=configs/mt_fixmatch.py --config.data.dir=MT --workdir=runs/mt_fixmatch

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("mt", "fixmatch", preset)
