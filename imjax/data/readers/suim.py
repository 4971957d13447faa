"""SUIM: underwater scenes, 8 classes as colors (Islam et al. 2020)."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np

from imjax.data import image_io
from imjax.data.readers import base
from imjax.data.readers.base import Sample
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, file_error
from imjax.log import logger

SPEC = DatasetSpec(
    name="suim",
    title="SUIM",
    kind="multiclass",
    classes=(
        "inconsistent",
        "background (water)",
        "human divers",
        "plants and sea-grass",
        "wrecks and ruins",
        "robots and instruments",
        "reefs and invertebrates",
        "fish and vertebrates",
        "sea-floor and rocks",
    ),
    # The color of class c is the binary code of c - 1, red first.
    palette=((128, 128, 128), *itertools.product((0, 255), (0, 255), (0, 255))),
    reserved=True,
    label_resize="corner",
    image_resize="bilinear",
    oversized_crop="whole",
    selection_metric="soft_miou",
    primary_metric="miou",
    source="https://irvlab.cs.umn.edu/resources/suim-dataset",
    layout="\n".join(f"{p}/images/<name>.jpg  {p}/masks/<name>.bmp" for p in ("train_val", "TEST")),
)
PARTS = {"train_val": "train_val", "test": "TEST"}

MAX_UNCLEAR = 0.05
"""Share of pixels without a clear color up to which a mask is taken."""

# Pairs of the original download whose mask has another size than its image
# (list of github.com/fansuregrin/SUIM, which offers corrected masks).
UNEQUAL = frozenset(
    [f"f_r_{i}_" for i in (1058, 1068, 1069, 1070, 1133, 1142, 1151, 1154, 1214, 1233, 1259, 1289, 1290)]
    + [
        f"f_r_{i}_"
        for i in (1302, 1318, 1394, 1424, 1491, 1515, 1570, 1779, 1812, 1816, 1866, 1879, 401, 829)
    ]
    + [f"f_r_{i}_" for i in (921, 934, 968, 991)]
    + [f"w_r_{i}_" for i in (1, 24, 25, 27, 47, 7)]
)


@dataclasses.dataclass(frozen=True)
class Suim:
    """Reader of the original SUIM folders (Vorndran & Roeck 2024, data preparation)."""

    spec: DatasetSpec = SPEC

    def scan(self, raw: Path) -> dict[str, list[Sample]]:
        """See `raw.Reader`; the per-category folders inside `TEST/masks` are not read."""
        for folder in PARTS.values():
            for kind in ("images", "masks"):
                if not (raw / folder / kind).is_dir():
                    raise base.missing_data_error(
                        self.spec, raw, f"folder {raw / folder / kind} not found", raw / folder / kind
                    )
        return {part: _pairs(self.spec, raw, folder) for part, folder in PARTS.items()}

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """See `raw.Reader`: image uint8 `[h, w, 3]` RGB, label uint8 `[h, w]` in 1..8."""
        assert sample.image and sample.mask
        image, colors = image_io.read_image(sample.image), image_io.read_image(sample.mask)
        base.check_same_size(image, colors, sample)
        return image, decode(colors, sample.mask)


def decode(colors: np.ndarray, path: Path) -> np.ndarray:
    """RGB mask uint8 `[h, w, 3]` to classes uint8 `[h, w]`: 1 + binary code, red the highest bit.

    Some 90 masks of the original blur their borders: as published, each channel is cut at one half there too.

    Raises:
        UserError: more than `MAX_UNCLEAR` of the pixels have such a color.
    """
    unclear = ((colors >= 64) & (colors <= 192)).any(axis=-1)
    if unclear.mean() > MAX_UNCLEAR:
        unclear_colors, counts = np.unique(colors[unclear], axis=0, return_counts=True)
        color = tuple(int(v) for v in unclear_colors[counts.argmax()])
        raise file_error(
            path,
            f"color (R,G,B) {color} is no class ({unclear.mean():.0%} of the pixels have such "
            "colors); expected channels of 0 or 255, correct the mask or remove the pair",
            ErrorCode.OUT_OF_RANGE,
        )
    bits = (colors > 127).astype(np.uint8)
    return 1 + 4 * bits[..., 0] + 2 * bits[..., 1] + bits[..., 2]


def _pairs(spec: DatasetSpec, raw: Path, folder: str) -> list[Sample]:
    images = {p.stem: p for p in (raw / folder / "images").iterdir() if p.suffix.lower() == ".jpg"}
    masks = {p.stem: p for p in (raw / folder / "masks").iterdir() if p.suffix.lower() == ".bmp"}
    if not images:
        raise base.missing_data_error(
            spec, raw, f"no .jpg in {raw / folder / 'images'}", raw / folder / "images"
        )
    stems = base.check_pairs(images, masks, "images/{}.jpg", "masks/{}.bmp")
    samples = [Sample(stem, stem, images[stem], masks[stem]) for stem in stems]
    usable = [sample for sample in samples if sample.name not in UNEQUAL or _equal(sample)]
    if len(usable) < len(samples):
        logger.warning(
            "SUIM: %d pairs of %s left out, their masks have another size in the original download",
            len(samples) - len(usable),
            folder,
        )
    return usable


def _equal(sample: Sample) -> bool:
    assert sample.image and sample.mask
    return image_io.read_image(sample.image).shape == image_io.read_image(sample.mask).shape
