"""Cityscapes: street scenes of German cities, 34 label ids (Cordts et al. 2016)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from imjax.data import image_io
from imjax.data.readers import base
from imjax.data.readers.base import Sample
from imjax.data.spec import VOID, DatasetSpec
from imjax.errors import ErrorCode, file_error

PARTS = {"train": "train", "val_test": "val"}
IMAGES, MASKS = "_leftImg8bit.png", "_gtFine_labelIds.png"

# Name and color of the label ids 0 to 33, from the set's own label table.
LABELS = (
    ("unlabeled", (0, 0, 0)),
    ("ego vehicle", (0, 0, 0)),
    ("rectification border", (0, 0, 0)),
    ("out of roi", (0, 0, 0)),
    ("static", (0, 0, 0)),
    ("dynamic", (111, 74, 0)),
    ("ground", (81, 0, 81)),
    ("road", (128, 64, 128)),
    ("sidewalk", (244, 35, 232)),
    ("parking", (250, 170, 160)),
    ("rail track", (230, 150, 140)),
    ("building", (70, 70, 70)),
    ("wall", (102, 102, 156)),
    ("fence", (190, 153, 153)),
    ("guard rail", (180, 165, 180)),
    ("bridge", (150, 100, 100)),
    ("tunnel", (150, 120, 90)),
    ("pole", (153, 153, 153)),
    ("polegroup", (153, 153, 153)),
    ("traffic light", (250, 170, 30)),
    ("traffic sign", (220, 220, 0)),
    ("vegetation", (107, 142, 35)),
    ("terrain", (152, 251, 152)),
    ("sky", (70, 130, 180)),
    ("person", (220, 20, 60)),
    ("rider", (255, 0, 0)),
    ("car", (0, 0, 142)),
    ("truck", (0, 0, 70)),
    ("bus", (0, 60, 100)),
    ("caravan", (0, 0, 90)),
    ("trailer", (0, 0, 110)),
    ("train", (0, 80, 100)),
    ("motorcycle", (0, 0, 230)),
    ("bicycle", (119, 11, 32)),
)
LICENSE_PLATE = 255
"""Id -1 as 8 bits hold it; it is no class."""

SPEC = DatasetSpec(
    name="cityscapes",
    title="Cityscapes",
    kind="multiclass",
    classes=("inconsistent", *(name for name, _ in LABELS)),
    palette=((255, 255, 255), *(color for _, color in LABELS)),
    reserved=True,
    label_resize="corner",
    image_resize="bilinear",
    selection_metric="soft_miou",
    primary_metric="miou",
    source="https://www.cityscapes-dataset.com (leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip)",
    layout="\n".join(
        f"leftImg8bit/{part}/<city>/<name>{IMAGES}  gtFine/{part}/<city>/<name>{MASKS}"
        for part in PARTS.values()
    ),
)


@dataclasses.dataclass(frozen=True)
class Cityscapes:
    """Reader of the fine annotations; `test` has no public truth, so val serves as val and test."""

    spec: DatasetSpec = SPEC

    def scan(self, raw: Path) -> dict[str, list[Sample]]:
        """See `raw.Reader`: parts `train` and `val_test`."""
        return {part: _pairs(raw, folder) for part, folder in PARTS.items()}

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """See `raw.Reader`: image uint8 `[h, w, 3]` RGB, label uint8 `[h, w]`: id + 1 in 1..34, or VOID."""
        assert sample.image and sample.mask
        image, ids = image_io.read_image(sample.image), image_io.read_index(sample.mask)
        base.check_same_size(image, ids, sample)
        unknown = ids[(ids >= len(LABELS)) & (ids != LICENSE_PLATE)]
        if unknown.size:
            raise file_error(
                sample.mask,
                f"value {unknown[0]} is no class; expected label ids 0..33 or 255 (license "
                "plate), correct the mask or remove the pair",
                ErrorCode.OUT_OF_RANGE,
            )
        return image, np.where(ids == LICENSE_PLATE, np.uint8(VOID), ids + np.uint8(1))


def _pairs(raw: Path, part: str) -> list[Sample]:
    paths_by_kind = []
    for kind, ending in (("leftImg8bit", IMAGES), ("gtFine", MASKS)):
        folder = raw / kind / part
        if not folder.is_dir():
            raise base.missing_data_error(SPEC, raw, f"folder {folder} not found", folder)
        paths_by_kind.append(
            {p.relative_to(folder).as_posix().removesuffix(ending): p for p in folder.glob(f"*/*{ending}")}
        )
    images, masks = paths_by_kind
    if not images:
        raise base.missing_data_error(
            SPEC,
            raw,
            f"no *{IMAGES} in the folders of {raw / 'leftImg8bit' / part}",
            raw / "leftImg8bit" / part,
        )
    at = (f"leftImg8bit/{part}/{{}}{IMAGES}", f"gtFine/{part}/{{}}{MASKS}")
    names = base.check_pairs(images, masks, *at)
    # The file's name starts with the city, so it is unique by itself.
    return [Sample(Path(name).name, f"{part}/{name}", images[name], masks[name]) for name in names]
