"""CPS on LA heart (Chen et al. 2021, arXiv 2106.01226).

The left atrium in volumes of MRI, 8 of 80 cases labeled, 15 000 steps.

python -m imjax.main --config=configs/la_cps.py --config.data.dir=LA --workdir=runs/la_cps

Cost: `:tiny` takes one or two minutes on two cores; `:small` and the full protocol have not been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("la", "cps", preset)
