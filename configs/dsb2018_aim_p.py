"""AIM+ on Data Science Bowl 2018 (Vorndran & Roeck 2024, arXiv 2401.14387).

Nuclei, binary, 256², a tenth labeled, the same number of steps for every method. The set is not one of the
study's.

python -m imjax.main --config=configs/dsb2018_aim_p.py --config.data.dir=DSB2018 --workdir=runs/dsb2018_aim_p

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.

Measured at `:small` on a sample of 72 images, three seeds: test IoU 0.706 ± 0.039 (LDT 0.593, FDT 0.755). See
docs/results.md.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("dsb2018", "aim_p", preset)
