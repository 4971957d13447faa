"""ALDT (the labeled images with nine augmented copies each) on ISIC 2018 Task 1 (Vorndran & Roeck 2024, arXiv
2401.14387).

Skin lesions, binary, 256², a tenth labeled.

python -m imjax.main --config=configs/isic2018_aldt.py --config.data.dir=ISIC2018 --workdir=runs/isic2018_aldt

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("isic2018", "aldt", preset)
