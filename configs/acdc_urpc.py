"""URPC on ACDC (Luo et al. 2021, arXiv 2012.07042).

The heart in slices of MRI, 7 of 70 patients labeled, 30 000 steps.

python -m imjax.main --config=configs/acdc_urpc.py --config.data.dir=ACDC --workdir=runs/acdc_urpc

Cost: neither the presets nor the full protocol have been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("acdc", "urpc", preset)
