"""FDT (all labels: the upper bound) on ISIC 2017 Part 1 (Vorndran & Roeck 2024, arXiv 2401.14387).

Skin lesions, binary, 256², a tenth labeled; a smaller set than the paper's ISIC 2018.

python -m imjax.main --config=configs/isic2017_fdt.py --config.data.dir=ISIC2017 --workdir=runs/isic2017_fdt

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.

Measured at 128² with 2 000 steps per net, three seeds: test IoU 0.773 ± 0.002. See
docs/results.md.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("isic2017", "fdt", preset)
