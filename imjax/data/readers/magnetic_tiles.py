"""Magnetic tiles: five types of defect, and tiles without one, gray (Huang et al. 2020)."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from pathlib import Path

import numpy as np

from imjax.data import image_io, palette
from imjax.data.duplicates import merge_groups
from imjax.data.readers import base
from imjax.data.readers.base import Sample
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, UserError

TYPES = ("Free", "Blowhole", "Break", "Crack", "Fray", "Uneven")
"""Folder `MT_<type>` of each class; the numbers of the defects are the usual ones, by the alphabet."""

THRESHOLD = 127
"""A mask is where its gray value is above this: edges are neither 0 nor 255."""

# `num` counts one camera's frames, through all folders: a region of a tile is photographed at once in the
# settings exp1 to exp6, and where it has no defect in one of them, or another type is seen, that photograph
# is in another folder. In the 430 photographs at hand, neighbors up to 192 apart show one region nearly
# always (most are less than 50 apart), and from 203 on they do not, with one exception: a crack that was
# photographed again 764 and 1 257 frames later.
NEAR = 200
"""Photographs up to so many frames apart, of whatever type, may show one region."""
NEAR_SAME_DEFECT = 1300
"""The same for two that follow one another among those of one type of defect."""

Frame = tuple[int, str, int]
"""A photograph: its `num`, its type, and its place in the list of all."""

SPEC = DatasetSpec(
    name="mt",
    title="Magnetic tiles",
    kind="multiclass",
    classes=("background", *(name.lower() for name in TYPES[1:])),
    palette=(palette.BACKGROUND, *palette.object_colors(5)),
    channels=1,
    background=True,
    splits=("regions", "photographs"),
    rotation_invariant=True,
    selection_metric="hard_miou",
    primary_metric="miou",
    source="https://github.com/abin24/Magnetic-tile-defect-datasets. (the name ends in a full stop)",
    layout="\n".join(
        f"MT_{name}/Imgs/exp<k>_num_<n>.jpg  MT_{name}/Imgs/exp<k>_num_<n>.png" for name in TYPES
    ),
)


@dataclasses.dataclass(frozen=True)
class MagneticTiles:
    """Reader of the folders, one per type of defect: the mask says where, the folder says what.

    No division has been published. A region of a tile is photographed in up to six settings, hence two:

    * `regions`: all photographs of one region stay together, and as many regions of each type as their share
      go into each part, a region of several types counting for the rarest.
    * `photographs`: each is drawn for itself, as many of each type as their share; most test images then have
      a twin in training or val.
    """

    split: str = "regions"
    """One of `spec.splits`."""
    spec: DatasetSpec = SPEC

    def scan(self, raw: Path) -> dict[str, list[Sample]]:
        """See `raw.Reader`: the part `train_val_test`; the source is the region of a tile, or the image."""
        samples = []
        for kind in TYPES:
            folder = raw / f"MT_{kind}" / "Imgs"
            if not folder.is_dir():
                raise base.missing_data_error(self.spec, raw, f"folder {folder} not found", folder)
            samples += _samples(folder)
        if not samples:
            raise base.missing_data_error(self.spec, raw, f"no .jpg in {raw}/MT_*/Imgs", raw)
        frames = [(*_frame(sample), i) for i, sample in enumerate(samples)]
        pairs = _neighbors(frames, NEAR)
        for kind in TYPES[1:]:
            pairs += _neighbors([f for f in frames if f[1] == kind], NEAR_SAME_DEFECT)
        groups = merge_groups(len(frames), pairs)
        out = []
        for sample, group, stratum in zip(samples, groups, self._strata(samples, groups), strict=True):
            region = samples[group].name
            source = region if self.split == "regions" else sample.name
            out.append(dataclasses.replace(sample, source=source, scene=region, stratum=stratum))
        return {"train_val_test": sorted(out, key=lambda s: s.name)}

    def _strata(self, samples: list[Sample], groups: list[int]) -> list[str]:
        """Each photograph's type, or the rarest type in its region."""
        types = [_type(sample) for sample in samples]
        if self.split == "photographs":
            return types
        counts, rarest = Counter(types), dict[int, str]()
        for kind, group in zip(types, groups, strict=True):
            rarest[group] = min(kind, rarest.get(group, kind), key=lambda k: (counts[k], k))
        return [rarest[group] for group in groups]

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """See `raw.Reader`: image uint8 `[h, w, 1]`, label uint8 `[h, w]`: 0, or the folder's class."""
        assert sample.image and sample.mask
        image, mask = image_io.read_gray(sample.image), image_io.read_index(sample.mask)
        base.check_same_size(image, mask, sample)
        return image[..., None], np.uint8(TYPES.index(_type(sample))) * (mask > THRESHOLD).astype(np.uint8)


def _samples(folder: Path) -> list[Sample]:
    images = {path.stem: path for path in folder.glob("*.jpg")}
    masks = {path.stem: path for path in folder.glob("*.png")}
    stems = base.check_pairs(images, masks, f"{folder}/{{}}.jpg", f"{folder}/{{}}.png")
    names = [f"{folder.parent.name}_{stem}" for stem in stems]
    return [Sample(n, n, images[stem], masks[stem]) for n, stem in zip(names, stems, strict=True)]


def _type(sample: Sample) -> str:
    assert sample.image
    return sample.image.parents[1].name.removeprefix("MT_")


def _frame(sample: Sample) -> tuple[int, str]:
    """The photograph's `num` and type; UserError where the name has no number."""
    assert sample.image
    match = re.fullmatch(r"exp\d+_num_(\d+)", sample.image.stem)
    if not match:
        raise UserError(
            f"{sample.image}: expected a name as exp1_num_4727.jpg; rename or remove the pair",
            code=ErrorCode.MALFORMED,
            field=str(sample.image),
        )
    return int(match[1]), _type(sample)


def _neighbors(frames: list[Frame], near: int) -> list[tuple[int, int]]:
    """Places of those that follow one another by number and are at most so far apart."""
    return [(a[2], b[2]) for a, b in itertools.pairwise(sorted(frames)) if b[0] - a[0] <= near]
