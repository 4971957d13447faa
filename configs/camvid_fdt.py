"""FDT (all labels: the upper bound) on CamVid (Vorndran & Roeck 2024, arXiv 2401.14387).

11 classes of street scenes at half size, a tenth labeled, the same number of steps for every method. CamVid
is not one of the study's sets.

python -m imjax.main --config=configs/camvid_fdt.py --config.data.dir=CamVid --workdir=runs/camvid_fdt

Cost: `:tiny` takes one to three minutes on two cores, `:small` about seven (an hour and a half for the
thirteen methods); the full protocol has not been timed.

Measured at `:small`, three seeds: test mIoU 0.356 ± 0.011. See docs/results.md.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("camvid", "fdt", preset)
