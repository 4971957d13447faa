"""ICT on ACDC (Verma et al. 2019, arXiv 1903.03825).

The heart in slices of MRI, 7 of 70 patients labeled, 30 000 steps.

python -m imjax.main --config=configs/acdc_ict.py --config.data.dir=ACDC --workdir=runs/acdc_ict

Cost: neither the presets nor the full protocol have been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("acdc", "ict", preset)
