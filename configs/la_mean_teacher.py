"""Mean Teacher on LA heart (Tarvainen & Valpola 2017, arXiv 1703.01780).

The left atrium in volumes of MRI, 8 of 80 cases labeled, 15 000 steps.

python -m imjax.main --config=configs/la_mean_teacher.py --config.data.dir=LA --workdir=runs/la_mean_teacher

Cost: `:tiny` takes one or two minutes on two cores; `:small` and the full protocol have not been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("la", "mean_teacher", preset)
