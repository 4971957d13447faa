"""HeLa: cells under a light microscope, alive, dead, and a mark for each (Vorndran & Roeck 2024)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from imjax.data import image_io, palette
from imjax.data.readers import base
from imjax.data.readers.base import Sample
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, file_error
from imjax.evaluation import cell_count

PARTS = {"train": "train_full", "val": "val", "test": "test"}
IMAGES = "brightfield"
FOLDERS = (IMAGES, *cell_count.CLASSES)
"""What is read. A folder `mod_position` may lie beside them: it is made anew from `position`."""

THRESHOLD = 10
"""A mask is where its gray value is above this (methods.md 1.9)."""

SPEC = DatasetSpec(
    name="hela",
    title="HeLa",
    kind="multilabel",
    classes=cell_count.CLASSES,
    palette=palette.object_colors(3),
    channels=1,
    rotation_invariant=True,
    empty_iou=0,
    target_scale=(1.0, 1.0, 3.0),
    dilate_channels=(cell_count.ALIVE, cell_count.DEAD),
    detection_shares=(0.01, 0.01, 0.001),
    counts_cells=True,
    selection_metric="loss",
    primary_metric="miou_ad",
    source="the authors of https://arxiv.org/abs/2401.14387, as we know of no public download",
    layout="\n".join(f"{part}/{{{','.join(FOLDERS)}}}/<name>.png" for part in PARTS.values()),
)


@dataclasses.dataclass(frozen=True)
class Hela:
    """Reader of the original folders; image and masks have one name."""

    spec: DatasetSpec = SPEC

    def scan(self, raw: Path) -> dict[str, list[Sample]]:
        """See `raw.Reader`: parts `train`, `val` and `test`."""
        for part in PARTS.values():
            for folder in FOLDERS:
                if not (raw / part / folder).is_dir():
                    raise base.missing_data_error(
                        self.spec, raw, f"folder {raw / part / folder} not found", raw / part / folder
                    )
        return {part: _samples(self.spec, raw / folder) for part, folder in PARTS.items()}

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """See `raw.Reader`: image uint8 `[h, w, 1]`, label uint8 `[h, w, 3]` 0/1: alive, dead, position.

        The position map is redrawn, a disc per mark (`cells.discs`).
        """
        assert sample.image and sample.mask
        image = image_io.read_gray(sample.image)
        masks = []
        for path in (sample.mask, *sample.more_masks):
            mask = image_io.read_gray(path)
            base.check_same_size(image, mask, dataclasses.replace(sample, mask=path))
            masks.append((mask > THRESHOLD).astype(np.uint8))
        masks[cell_count.POSITION] = cell_count.draw_discs(
            cell_count.find_marks(masks[cell_count.POSITION], erode=False), image.shape
        )
        return image[..., None], np.stack(masks, axis=-1)


def _samples(spec: DatasetSpec, part: Path) -> list[Sample]:
    paths = {
        folder: {p.stem: p for p in (part / folder).iterdir() if p.suffix.lower() == ".png"}
        for folder in FOLDERS
    }
    for stem in sorted(set().union(*paths.values())):
        have = [folder for folder in FOLDERS if stem in paths[folder]]
        lack = [folder for folder in FOLDERS if stem not in paths[folder]]
        if lack:
            raise file_error(
                paths[have[0]][stem],
                f"no {' nor '.join(lack)} of that name, expected "
                f"{part / lack[0] / (stem + '.png')}; add it or remove the others",
                ErrorCode.MISSING,
            )
    if not paths[IMAGES]:
        raise base.missing_data_error(spec, part.parent, f"no .png in {part / IMAGES}", part / IMAGES)
    return [
        Sample(stem, stem, paths[IMAGES][stem], masks[0], tuple(masks[1:]))
        for stem in sorted(paths[IMAGES])
        for masks in [[paths[name][stem] for name in cell_count.CLASSES]]
    ]
