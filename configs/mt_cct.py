"""CCT on magnetic tiles (Ouali et al. 2020, arXiv 2003.09005).

Five kinds of defects, 40 % labeled, simEps's protocol.

python -m imjax.main --config=configs/mt_cct.py --config.data.dir=MT --workdir=runs/mt_cct

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("mt", "cct", preset)
