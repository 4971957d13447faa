"""R-Drop on ACDC (Wu et al. 2021, arXiv 2106.14448).

The heart in slices of MRI, 7 of 70 patients labeled, 30 000 steps.

python -m imjax.main --config=configs/acdc_rdrop.py --config.data.dir=ACDC --workdir=runs/acdc_rdrop

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("acdc", "rdrop", preset)
