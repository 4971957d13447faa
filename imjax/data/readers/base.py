"""What every reader of a dataset has in common: samples, pairing checks, and the message for missing data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, UserError, file_error


@dataclasses.dataclass(frozen=True)
class Sample:
    """One original image and its mask, by path."""

    name: str
    """Unique within its part."""
    source: str
    """What may not fall on both sides of a split, e.g. the scene that several images show."""
    image: Path | None = None
    """None where the sample is generated."""
    mask: Path | None = None
    """None where there is no truth."""
    more_masks: tuple[Path, ...] = ()
    """Further files of the truth, where it is more than one."""
    scene: str = ""
    """What it shows, where another source may show the same: a split by source then tears the two apart, and
    says of how many test images. Empty: the source."""
    stratum: str = ""
    """Its kind, where kinds are rare: a split that is drawn takes the same share of each."""


@runtime_checkable
class Reader(Protocol):
    """One dataset's original layout."""

    @property
    def spec(self) -> DatasetSpec:
        """What the labels mean; of a folder of the user's own, once it has been scanned."""
        ...

    def scan(self, raw: Path) -> dict[str, list[Sample]]:
        """Samples by part (names and choice of parts: see `splits.split_parts`), sorted by name.

        Raises:
            UserError: folder or layout missing, empty folder, image without mask or the reverse.
        """
        ...

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 `[h, w, c]` and label uint8 (see `DatasetSpec`) at the original size.

        Where `DatasetSpec.volumes`, a sample may be a stack instead: both with an axis `[d, ...]` before
        these, one entry per slice. Where `DatasetSpec.dims` is 3, each is one.

        Raises:
            UserError: damaged file, unequal sizes, or a value that is no class.
        """
        ...


@runtime_checkable
class InstanceReader(Reader, Protocol):
    """A reader that may know which pixels belong to which object, where labels only know classes."""

    @property
    def has_instances(self) -> bool:
        """Whether it does; of a folder of the user's own, once it has been scanned."""
        ...

    def load_instances(self, sample: Sample) -> np.ndarray:
        """Numbers of the objects, uint16 `[h, w]` of the label's size, 0 where there is none.

        Raises:
            UserError: as of `load`.
        """
        ...


def slice_name(volume: str, number: int) -> str:
    """Name of a slice; padded, so that the order of the names is that of the numbers, 0 to 999."""
    return f"{volume}#{number:03d}"


def check_pairs(
    images: Mapping[str, Path], masks: Mapping[str, Path], image_at: str, mask_at: str
) -> list[str]:
    """Make sure that images and masks, given by a name they share, go together.

    Args:
        image_at, mask_at: where the other half belongs, for the message, `{}` in place of the name.

    Returns:
        The names, sorted.

    Raises:
        UserError: an image without mask or the reverse; names the file.
    """
    for name in sorted(images.keys() ^ masks.keys()):
        path, half, missing, at = (
            (images[name], "image", "mask", mask_at)
            if name in images
            else (masks[name], "mask", "image", image_at)
        )
        raise file_error(
            path,
            f"{half} without {missing}, expected {at.format(name)} beside it; add or remove one",
            ErrorCode.MISSING,
        )
    return sorted(images)


def check_same_size(image: np.ndarray, mask: np.ndarray, sample: Sample) -> None:
    """UserError naming both files when height or width differ."""
    if image.shape[:2] != mask.shape[:2]:
        turned = (
            ", as if one of them were turned: cameras store photographs lying and say in EXIF how to "
            "turn them"
            if image.shape[:2] == mask.shape[1::-1]
            else ""
        )
        raise UserError(
            f"{sample.mask}: mask is {_size(mask)} but its image {sample.image} is {_size(image)}{turned}; "
            "expected equal sizes, correct or remove the pair",
            code=ErrorCode.CONFLICT,
            field=str(sample.mask),
        )


def missing_data_error(spec: DatasetSpec, raw: Path, what: str, where: Path) -> UserError:
    """The error for data that is not at `where`, as it should be: what, whence, layout and commands."""
    layout = "\n".join("    " + line for line in spec.layout.splitlines())
    return UserError(
        f"{spec.title}: {what}\n  Get the data from {spec.source}\n  and lay it out under {raw} "
        f"as\n{layout}\n  then: python -m imjax.prepare --dataset={spec.name} --raw=DIR --out=DIR\n  No "
        "data at hand? python -m imjax.main --config=configs/demo.py --workdir=runs/demo",
        code=ErrorCode.MISSING,
        field=where,
    )


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]} (w x h)"
