"""IM (Inconsistency Masks) on SUIM (Vorndran & Roeck 2024, arXiv 2401.14387).

8 classes under water, two 256² crops per image, a tenth labeled.

python -m imjax.main --config=configs/suim_im.py --config.data.dir=SUIM --workdir=runs/suim_im

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("suim", "im", preset)
