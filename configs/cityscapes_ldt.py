"""LDT (the labeled images only: the lower bound) on Cityscapes (Vorndran & Roeck 2024, arXiv 2401.14387).

34 label ids of street scenes at a fifth of their size, a tenth labeled.

python -m imjax.main --config=configs/cityscapes_ldt.py --config.data.dir=Cityscapes \
  --workdir=runs/cityscapes_ldt

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("cityscapes", "ldt", preset)
