"""FixMatch on DAGM 2007 (Sohn et al. 2020, arXiv 2001.07685).

Defects on textures, binary, a tenth labeled, simEps's protocol.

python -m imjax.main --config=configs/dagm_fixmatch.py --config.data.dir=DAGM2007 --workdir=runs/dagm_fixmatch

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("dagm", "fixmatch", preset)
