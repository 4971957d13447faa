"""Mean Teacher + MetaSSL on ACDC (Tarvainen & Valpola 2017, arXiv 1703.01780; MetaSSL: TMI 2025, arXiv
2509.01144).

The heart in slices of MRI, 7 of 70 patients labeled, 30 000 steps.

python -m imjax.main --config=configs/acdc_mean_teacher_metassl.py --config.data.dir=ACDC \
  --workdir=runs/acdc_mean_teacher_metassl

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.

Measured at `:small` on five patients, of whom one is test, two seeds: test Dice 0.265 ± 0.096 over all nets
(supervised 0.411). See docs/results.md.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("acdc", "mean_teacher_metassl", preset)
