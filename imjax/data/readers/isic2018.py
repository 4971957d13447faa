"""ISIC 2018 Task 1: dermoscopic images, the lesion against the skin (Codella et al. 2019).

ISIC 2017, which has fewer images, is read from the same folders and has a name of its own in results.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from imjax.data import image_io, palette
from imjax.data.readers import base
from imjax.data.readers.base import Sample
from imjax.data.spec import DatasetSpec

PARTS = {"train": "Training", "val": "Validation", "test": "Test"}
IMAGES, MASKS = "ISIC2018_Task1-2_{}_Input", "ISIC2018_Task1_{}_GroundTruth"
ENDING = "_segmentation.png"

SPEC = DatasetSpec(
    name="isic2018",
    title="ISIC 2018",
    kind="binary",
    classes=("lesion",),
    palette=palette.object_colors(1),
    rotation_invariant=True,
    empty_iou=0,
    label_resize="bilinear",
    image_resize="bilinear",
    selection_metric="hard_iou",
    primary_metric="iou",
    source="https://challenge.isic-archive.com/data/#2018 (Task 1)",
    layout="\n".join(
        f"{IMAGES.format(p)}/ISIC_<number>.jpg  {MASKS.format(p)}/ISIC_<number>{ENDING}"
        for p in PARTS.values()
    ),
)
SPEC_2017 = dataclasses.replace(
    SPEC,
    name="isic2017",
    title="ISIC 2017",
    source="https://challenge.isic-archive.com/data/#2017 (Part 1), under the names of 2018's folders",
)


@dataclasses.dataclass(frozen=True)
class Isic2018:
    """Reader of the challenge's folders, with its own split: in 2018 2594, 100 and 1000 images."""

    spec: DatasetSpec = SPEC

    def scan(self, raw: Path) -> dict[str, list[Sample]]:
        """See `raw.Reader`: parts `train`, `val` and `test`, all of them needed."""
        return {part: pairs(raw, part, self.spec) for part in PARTS}

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """See `raw.Reader`: image uint8 `[h, w, 3]` RGB, label uint8 `[h, w]`, 1 = lesion."""
        assert sample.image and sample.mask
        image, label = image_io.read_image(sample.image), image_io.read_binary(sample.mask)
        base.check_same_size(image, label, sample)
        return image, label


def pairs(raw: Path, part: str, spec: DatasetSpec = SPEC) -> list[Sample]:
    """Samples of one part, sorted by name; the license and attribution files beside them are not read.

    Raises:
        UserError: as `raw.Reader.scan`.
    """
    folders = [raw / name.format(PARTS[part]) for name in (IMAGES, MASKS)]
    for folder in folders:
        if not folder.is_dir():
            raise base.missing_data_error(spec, raw, f"folder {folder} not found", folder)
    images = {p.stem: p for p in folders[0].iterdir() if p.suffix.lower() == ".jpg"}
    masks = {p.name.removesuffix(ENDING): p for p in folders[1].iterdir() if p.name.endswith(ENDING)}
    if not images:
        raise base.missing_data_error(spec, raw, f"no .jpg in {folders[0]}", folders[0])
    at = (f"{folders[0].name}/{{}}.jpg", f"{folders[1].name}/{{}}{ENDING}")
    names = base.check_pairs(images, masks, *at)
    return [Sample(name, name, images[name], masks[name]) for name in names]
