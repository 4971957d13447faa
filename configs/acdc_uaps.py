"""UAPS on ACDC (Sime et al., Computers in Industry 2023).

The heart in slices of MRI, 7 of 70 patients labeled, 30 000 steps.

python -m imjax.main --config=configs/acdc_uaps.py --config.data.dir=ACDC --workdir=runs/acdc_uaps

Cost: neither the presets nor the full protocol have been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("acdc", "uaps", preset)
