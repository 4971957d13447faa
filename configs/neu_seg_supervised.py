"""The supervised baseline of the joint-training methods on NEU-Seg.

Three kinds of defects on steel strips, a tenth labeled, simEps's protocol.

python -m imjax.main --config=configs/neu_seg_supervised.py --config.data.dir=NEU_Seg \
  --workdir=runs/neu_seg_supervised

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.

Measured at `:small`, three seeds: test foreground mIoU 0.512 ± 0.033 over all nets. See docs/results.md.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("neu_seg", "supervised", preset)
