"""Original files as downloaded: samples, checked decoding, and the message when data is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import h5py
import numpy as np

from imjax.data import headers, intensity
from imjax.data.spec import DatasetSpec
from imjax.errors import UserError


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
        """Samples by part (names and choice of parts: see `splits.split`), sorted by name.

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


def slice_name(volume: str, number: int) -> str:
    """Name of a slice; padded, so that the order of the names is that of the numbers, 0 to 999."""
    return f"{volume}#{number:03d}"


def read_image(path: Path) -> np.ndarray:
    """Decode an image file to RGB uint8 `[h, w, 3]`; UserError as for `read_raw`."""
    # Masks are drawn on the pixels as stored, hence no turning by the EXIF flag.
    return decode(path, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


def read_gray(path: Path) -> np.ndarray:
    """Decode an image file to gray uint8 `[h, w]`, whatever its channels.

    Raises:
        UserError: missing or damaged.
    """
    return decode(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)


def read_photo(path: Path) -> np.ndarray:
    """Decode whatever picture to RGB uint8 `[h, w, 3]`: gray is repeated, and alpha dropped.

    What is not 8-bit is scaled, see `levels.stretch`: of a microscope's 12 bits in a 16-bit file, a fixed
    scale would leave black.

    Raises:
        UserError: missing or damaged, several pages, or channels or values that are no picture's.
    """
    colors = _colors(path)
    return colors if colors.dtype == np.uint8 else _eight_bits(colors, path)


def read_gray_photo(path: Path) -> np.ndarray:
    """`read_photo` as gray uint8 `[h, w]`; of 8-bit files as `read_gray` has it."""
    colors = _colors(path)
    if colors.dtype == np.uint8:
        # A JPEG's own gray is not quite that of its colors, and readers of gray sets take the former.
        return read_gray(path)
    return cv2.cvtColor(_eight_bits(colors, path), cv2.COLOR_RGB2GRAY)


def _colors(path: Path) -> np.ndarray:
    """RGB `[h, w, 3]` of the file's own type; raises as `read_photo`."""
    array = decode(path, cv2.IMREAD_UNCHANGED)
    pages = cv2.imcount(str(path)) if path.suffix.lower() in (".tif", ".tiff") else 1
    if pages > 1:
        raise UserError(f"{path}: {pages} pages, expected one image per file; save each page as its own file")
    channels = 1 if array.ndim == 2 else array.shape[2]
    if channels not in (1, 3, 4):
        raise UserError(f"{path}: {channels} channels, expected gray, RGB or RGBA; convert the image")
    # OpenCV's order is blue, green, red, alpha.
    colors = np.repeat(array[..., None], 3, -1) if channels == 1 else array[..., 2::-1]
    return np.ascontiguousarray(colors)


def _eight_bits(array: np.ndarray, path: Path) -> np.ndarray:
    values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise UserError(f"{path}: a value is nan or infinite, expected numbers; correct the image")
    return intensity.stretch(values)


def read_index(path: Path) -> np.ndarray:
    """Decode an 8-bit single-channel mask, uint8 `[h, w]`.

    Raises:
        UserError: missing, damaged, or not 8-bit single-channel.
    """
    mask = decode(path, cv2.IMREAD_UNCHANGED)
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise UserError(f"{path}: {mask.dtype} array {mask.shape}, expected an 8-bit single-channel mask")
    return mask


def read_binary(path: Path) -> np.ndarray:
    """Decode a mask of 0 and 255, uint8 `[h, w]` of 0 and 1.

    Raises:
        UserError: as for `read_index`, or another value in the file.
    """
    mask = read_index(path)
    other = mask[(mask != 0) & (mask != 255)]
    if other.size:
        raise UserError(
            f"{path}: value {other[0]} is no class; expected 0 (background) or 255 (foreground), "
            "correct the mask or remove the pair"
        )
    return mask // np.uint8(255)


def read_h5(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Arrays `image` and `label` of an HDF5 file; UserError where it is damaged or lacks one."""
    try:
        with h5py.File(path) as file:
            return np.asarray(file["image"]), np.asarray(file["label"])
    except (OSError, KeyError) as error:
        why = " ".join(str(error).split())
        raise UserError(
            f"{path}: {why}; expected an HDF5 file with arrays image and label, download or copy it again"
        ) from error


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
        path, half, other, at = (
            (images[name], "image", "mask", mask_at)
            if name in images
            else (masks[name], "mask", "image", image_at)
        )
        raise UserError(
            f"{path}: {half} without {other}, expected {at.format(name)} beside it; add or remove one"
        )
    return sorted(images)


def check_same_size(image: np.ndarray, mask: np.ndarray, sample: Sample) -> None:
    """UserError naming both files when height or width differ."""
    if image.shape[:2] != mask.shape[:2]:
        raise UserError(
            f"{sample.mask}: mask is {_size(mask)} but its image {sample.image} is {_size(image)}; "
            "expected equal sizes, correct or remove the pair"
        )


def missing(spec: DatasetSpec, raw: Path, what: str) -> UserError:
    """The error for data that is not where it should be: what, whence, layout and commands."""
    layout = "\n".join("    " + line for line in spec.layout.splitlines())
    return UserError(
        f"{spec.title}: {what}\n"
        f"  Get the data from {spec.source}\n"
        f"  and lay it out under {raw} as\n{layout}\n"
        f"  then: python -m imjax.prepare --dataset={spec.name} --raw=DIR --out=DIR\n"
        "  No data at hand? python -m imjax.main --config=configs/demo.py --workdir=runs/demo"
    )


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]} (w x h)"


def decode(path: Path, flags: int) -> np.ndarray:
    """Decode an image file as OpenCV's `flags` say, channels in its order.

    Raises:
        UserError: missing, truncated, too large or no image.
    """
    if not path.is_file():
        raise UserError(f"{path}: file not found; put it back or remove its entry")
    data = path.read_bytes()
    if not _complete(data):
        raise UserError(f"{path}: truncated after {len(data)} bytes; download or copy the file again")
    if why := headers.oversized(data):
        raise UserError(f"{path}: {why}")
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: no readable image ({reason}); replace the file") from error
    if array is None:
        raise UserError(f"{path}: {len(data)} bytes that are no readable image; replace the file")
    return array


def _complete(data: bytes) -> bool:
    """Whether the file has its end: many an OpenCV version fills what a cut file lacks with gray or black."""
    if data[:2] == b"\xff\xd8":
        # Neither marker can occur inside the compressed pixels, so the last scan must be followed by an end.
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    if data[:4] == b"\x89PNG":
        return b"IEND" in data[-64:]
    if data[:2] == b"BM" and len(data) >= 54:
        start, width, height, compression = (
            int.from_bytes(data[i : i + 4], "little") for i in (10, 18, 22, 30)
        )
        bits = int.from_bytes(data[28:30], "little")
        rows = min(height, 2**32 - height)  # a negative height means rows from the top
        return compression != 0 or len(data) >= start + (width * bits + 31) // 32 * 4 * rows
    return bool(data)
