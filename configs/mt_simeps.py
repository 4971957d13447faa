"""simEps on magnetic tiles (IEEE TII 2022).

Five kinds of defects, 40 % labeled, simEps's protocol.

python -m imjax.main --config=configs/mt_simeps.py --config.data.dir=MT --workdir=runs/mt_simeps

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.

Measured at `:small`, split by region, one seed: test foreground mIoU 0.130 ± 0.020 over its three nets
(supervised 0.135). See docs/results.md.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("mt", "simeps", preset)
