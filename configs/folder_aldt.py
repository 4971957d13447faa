"""ALDT (the labeled images with nine augmented copies each) on images of your own (Vorndran & Roeck 2024,
arXiv 2401.14387).

Masks for a few of them, no code (docs/how-to/own_data.md).

python -m imjax.main --config=configs/folder_aldt.py --config.data.dir=my_data --workdir=runs/folder_aldt

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("folder", "aldt", preset)
