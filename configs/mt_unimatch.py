"""UniMatch on magnetic tiles (Yang et al. 2023, arXiv 2208.09910).

Five kinds of defects, 40 % labeled, simEps's protocol.

python -m imjax.main --config=configs/mt_unimatch.py --config.data.dir=MT --workdir=runs/mt_unimatch

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("mt", "unimatch", preset)
