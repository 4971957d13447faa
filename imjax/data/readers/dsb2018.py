"""Data Science Bowl 2018, stage 1: nuclei of many kinds of microscopy (Caicedo et al. 2019, BBBC038)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from imjax.data import image_io, palette
from imjax.data.readers import base
from imjax.data.readers.base import Sample
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, file_error

FOLDER = "stage1_train"
PARTS = {"train_val_test": FOLDER}

SPEC = DatasetSpec(
    name="dsb2018",
    title="Data Science Bowl 2018",
    kind="binary",
    classes=("nucleus",),
    palette=palette.object_colors(1),
    rotation_invariant=True,
    label_resize="bilinear",
    selection_metric="hard_iou",
    primary_metric="iou",
    source="https://bbbc.broadinstitute.org/BBBC038 (stage1_train.zip)",
    layout=f"{FOLDER}/<id>/images/<id>.png  {FOLDER}/<id>/masks/<any name>.png (one per nucleus)",
)


@dataclasses.dataclass(frozen=True)
class Dsb2018:
    """Reader of the first stage's training folder, the only one that came with masks at the time.

    It is one pool (`train_val_test`), since the set has no split of its own that could be used.
    """

    spec: DatasetSpec = SPEC

    def scan(self, raw: Path) -> dict[str, list[Sample]]:
        """See `raw.Reader`: the part `train_val_test`, one sample per folder."""
        if not (raw / FOLDER).is_dir():
            raise base.missing_data_error(self.spec, raw, f"folder {raw / FOLDER} not found", raw / FOLDER)
        samples = [_sample(path) for path in sorted((raw / FOLDER).iterdir()) if path.is_dir()]
        if not samples:
            raise base.missing_data_error(self.spec, raw, f"no folder in {raw / FOLDER}", raw / FOLDER)
        return {"train_val_test": samples}

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """See `raw.Reader`: image uint8 `[h, w, 3]` RGB without alpha, label uint8 `[h, w]`, 1 = nucleus."""
        assert sample.image and sample.mask
        image = image_io.read_image(sample.image)
        label = np.zeros(image.shape[:2], np.uint8)
        for path in (sample.mask, *sample.more_masks):
            nucleus = image_io.read_binary(path)
            base.check_same_size(image, nucleus, dataclasses.replace(sample, mask=path))
            label |= nucleus
        return image, label

    @property
    def has_instances(self) -> bool:
        """See `base.InstanceReader`."""
        return True

    def load_instances(self, sample: Sample) -> np.ndarray:
        """See `base.InstanceReader`: as `image_io.read_objects` says."""
        assert sample.mask
        return image_io.read_objects((sample.mask, *sample.more_masks)).astype(np.uint16)


def _sample(folder: Path) -> Sample:
    name = folder.name
    image, masks = folder / "images" / f"{name}.png", tuple(sorted((folder / "masks").glob("*.png")))
    if not masks:
        raise file_error(
            folder, "image without mask, expected masks/*.png in it; add some or remove it", ErrorCode.MISSING
        )
    if not image.is_file():
        raise file_error(
            folder,
            f"masks without image, expected images/{name}.png in it; add or remove it",
            ErrorCode.MISSING,
        )
    return Sample(name, name, image, masks[0], masks[1:])
