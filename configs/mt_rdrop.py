"""R-Drop on magnetic tiles (Wu et al. 2021, arXiv 2106.14448).

Five kinds of defects, 40 % labeled, simEps's protocol.

python -m imjax.main --config=configs/mt_rdrop.py --config.data.dir=MT --workdir=runs/mt_rdrop

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("mt", "rdrop", preset)
