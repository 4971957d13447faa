"""GT-IM++ (IM++ with the true IoU: an oracle) on CamVid (Vorndran & Roeck 2024, arXiv 2401.14387).

11 classes of street scenes at half size, a tenth labeled, the same number of steps for every method. CamVid
is not one of the study's sets.

python -m imjax.main --config=configs/camvid_gt_im_pp.py --config.data.dir=CamVid \
  --workdir=runs/camvid_gt_im_pp

Cost: `:tiny` takes one to three minutes on two cores, `:small` about seven (an hour and a half for the
thirteen methods); the full protocol has not been timed.
"""

from imjax import config


def get_config(preset: str | None = None):
    return config.get_config("camvid", "gt_im_pp", preset)
