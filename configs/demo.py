"""AIM++ on synthetic scenes, with LDT as its baseline: six to eight minutes on two cores, no download.

python -m imjax.main --config=configs/demo.py --workdir=runs/demo
"""

from configs.base.datasets import synthetic


def get_config(preset: str | None = None):
    return synthetic("aim_pp", preset)
