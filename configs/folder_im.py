"""IM (Inconsistency Masks) on images of your own (Vorndran & Roeck 2024, arXiv 2401.14387).

Masks for a few of them, no code (docs/how-to/own_data.md).

python -m imjax.main --config=configs/folder_im.py --config.data.dir=my_data --workdir=runs/folder_im

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.

Measured at `:small` from random weights by the published recipe, masks for 12 of 60 nuclei images, one seed:
IoU 0.771 on 12 unseen images. See docs/results.md.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("folder", "im", preset)
