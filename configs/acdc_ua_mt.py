"""UA-MT on ACDC (Yu et al. 2019, arXiv 1907.07034).

The heart in slices of MRI, 7 of 70 patients labeled, 30 000 steps.

python -m imjax.main --config=configs/acdc_ua_mt.py --config.data.dir=ACDC --workdir=runs/acdc_ua_mt

Cost: neither the presets nor the full protocol have been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("acdc", "ua_mt", preset)
