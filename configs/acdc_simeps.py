"""simEps on ACDC (IEEE TII 2022).

The heart in slices of MRI, 7 of 70 patients labeled, 30 000 steps.

python -m imjax.main --config=configs/acdc_simeps.py --config.data.dir=ACDC --workdir=runs/acdc_simeps

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("acdc", "simeps", preset)
