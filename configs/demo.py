"""AIM++ on synthetic scenes, with LDT as its baseline: no download (Vorndran & Roeck 2024, arXiv 2401.14387).

python -m imjax.main --config=configs/demo.py --workdir=runs/demo

Cost: six to eight minutes on two cores, `:tiny` one or two.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("synthetic", "aim_pp", preset)
