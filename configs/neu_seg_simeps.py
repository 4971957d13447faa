"""simEps on NEU-Seg (IEEE TII 2022).

Three kinds of defects on steel strips, a tenth labeled, simEps's protocol.

python -m imjax.main --config=configs/neu_seg_simeps.py --config.data.dir=NEU_Seg \
  --workdir=runs/neu_seg_simeps

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.

Measured at `:small`, three seeds: test foreground mIoU 0.503 ± 0.028 over all nets (supervised 0.512). See
docs/results.md.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("neu_seg", "simeps", preset)
