"""UniMatch on DAGM 2007 (Yang et al. 2023, arXiv 2208.09910).

Defects on textures, binary, a tenth labeled, simEps's protocol.

python -m imjax.main --config=configs/dagm_unimatch.py --config.data.dir=DAGM2007 --workdir=runs/dagm_unimatch

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("dagm", "unimatch", preset)
