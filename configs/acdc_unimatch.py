"""UniMatch on ACDC (Yang et al. 2023, arXiv 2208.09910).

The heart in slices of MRI, 7 of 70 patients labeled, 30 000 steps.

python -m imjax.main --config=configs/acdc_unimatch.py --config.data.dir=ACDC --workdir=runs/acdc_unimatch

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("acdc", "unimatch", preset)
