"""FixMatch + MetaSSL on ACDC (Sohn et al. 2020, arXiv 2001.07685; MetaSSL: TMI 2025, arXiv 2509.01144).

The heart in slices of MRI, 7 of 70 patients labeled, 30 000 steps.

python -m imjax.main --config=configs/acdc_fixmatch_metassl.py --config.data.dir=ACDC \
  --workdir=runs/acdc_fixmatch_metassl

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("acdc", "fixmatch_metassl", preset)
