"""CPS on images of your own (Chen et al. 2021, arXiv 2106.01226).

Masks for a few of them, no code (docs/how-to/own_data.md).

python -m imjax.main --config=configs/folder_cps.py --config.data.dir=my_data --workdir=runs/folder_cps

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("folder", "cps", preset)
