"""Model Ensemble on ISIC 2017 Part 1 (Vorndran & Roeck 2024, arXiv 2401.14387).

Skin lesions, binary, 256², a tenth labeled; a smaller set than the paper's ISIC 2018.

python -m imjax.main --config=configs/isic2017_model_ensemble.py --config.data.dir=ISIC2017 \
  --workdir=runs/isic2017_model_ensemble

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("isic2017", "model_ensemble", preset)
