"""The recommended configuration for images of your own: what `imjax train --data=DIR` runs.

A pretrained encoder, the strong recipe and the labeled images alone (LDT). Of the methods that also use the
unlabeled images, Inconsistency Masks have clearly exceeded it on one of the three sets on which they were
tried (hearts), no other method on any; docs/results.md has the figures.

python -m imjax.main --config=configs/folder.py:small --config.data.dir=my_data --workdir=runs/mine

Cost: `:tiny` takes one to three minutes, `:small` minutes to an hour on two cores; the full protocol has not
been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("folder", "ldt", preset)
