"""Consistency Loss on HeLa (Vorndran & Roeck 2024, arXiv 2401.14387).

Alive and dead cells and their positions, multilabel, overlapping gray 256² crops, a tenth labeled.

python -m imjax.main --config=configs/hela_consistency.py --config.data.dir=HeLa \
  --workdir=runs/hela_consistency

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("hela", "consistency", preset)
