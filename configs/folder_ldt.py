"""LDT (the labeled images only: the lower bound) on images of your own (Vorndran & Roeck 2024, arXiv
2401.14387).

Masks for a few of them, no code (docs/how-to/own_data.md).

python -m imjax.main --config=configs/folder_ldt.py --config.data.dir=my_data --workdir=runs/folder_ldt

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.

Measured at `:small` with 42 masks of polyps (CVC-ClinicDB), one net, one seed: test IoU 0.745; from random
weights by the published recipe 0.175. See docs/results.md.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("folder", "ldt", preset)
