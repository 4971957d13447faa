"""The supervised baseline of the joint-training methods on magnetic tiles.

Five kinds of defects, 40 % labeled, simEps's protocol.

python -m imjax.main --config=configs/mt_supervised.py --config.data.dir=MT --workdir=runs/mt_supervised

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.

Measured at `:small`, split by region, three seeds: test foreground mIoU 0.135 ± 0.052. See docs/results.md.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("mt", "supervised", preset)
