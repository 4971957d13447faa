"""The recommended configuration for images of your own: what `imjax train --data=DIR` runs.

A pretrained encoder, the strong recipe and the labeled images alone (LDT). Of the methods that also use the
unlabeled images, one has exceeded it in a comparison of equal steps so far, on one of five sets (hearts);
docs/results.md has the figures.

python -m imjax.main --config=configs/folder.py:small --config.data.dir=my_data --workdir=runs/mine

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("folder", "ldt", preset)
