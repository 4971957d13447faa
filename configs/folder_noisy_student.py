"""Noisy Student on images of your own (Vorndran & Roeck 2024, arXiv 2401.14387).

Masks for a few of them, no code (docs/how-to/own_data.md).

python -m imjax.main --config=configs/folder_noisy_student.py --config.data.dir=my_data \
  --workdir=runs/folder_noisy_student

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("folder", "noisy_student", preset)
