"""CPS on ACDC (Chen et al. 2021, arXiv 2106.01226).

The heart in slices of MRI, 7 of 70 patients labeled, 30 000 steps.

python -m imjax.main --config=configs/acdc_cps.py --config.data.dir=ACDC --workdir=runs/acdc_cps

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.

Measured at `:small` on five patients, of whom one is test, two seeds: test Dice 0.158 ± 0.087 over all nets
(supervised 0.411). See docs/results.md.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("acdc", "cps", preset)
