"""Image files of a folder that is no dataset: new images, without masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from imjax.data.readers import base
from imjax.errors import UserError

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Read whatever their case."""


def find(folder: Path) -> list[Path]:
    """Image files of a folder by name; hidden files and sub-folders are left out.

    Links that lead nowhere are among them, so that whoever reads them says so.

    Raises:
        UserError: there is no such folder or no image in it, or two images share a stem, after which their
            masks are named.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder, expected one with images ({', '.join(ENDINGS)})")
    entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    named = [path for path in entries if path.suffix.lower() in ENDINGS]
    files = sorted(path for path in named if path.is_file() or path.is_symlink() and not path.exists())
    if not files:
        held = f"{sum(path.is_dir() for path in entries)} sub-folders, which are not read, and "
        others = f"{sum(path.is_file() for path in entries)} other files"
        raise UserError(f"{folder}: no image, but {held}{others}; expected {', '.join(ENDINGS)}")
    by_stem: dict[str, Path] = {}
    for path in files:
        other = by_stem.setdefault(path.stem, path)
        if other is not path:
            raise UserError(
                f"{path}: has the stem of {other.name}, and masks are named after it; rename one of them"
            )
    return files


def read(path: Path, channels: int) -> np.ndarray:
    """Decode an image as the datasets' readers do.

    Color becomes gray and gray color as needed, alpha is dropped, and what is not 8-bit is scaled as
    `raw.read_photo` says. Pixels stay as they are stored, whatever EXIF says of the orientation.

    Args:
        path: the file.
        channels: 1 (gray) or 3 (RGB), `DatasetSpec.channels`.

    Returns:
        uint8 `[h, w, channels]`.

    Raises:
        UserError: missing, damaged or too large a file, or one of several pages.
    """
    try:
        return base.read_photo(path) if channels == 3 else base.read_gray_photo(path)[..., None]
    except cv2.error as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: no readable image ({reason}); convert or remove it") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def from_array(pixels: np.ndarray, channels: int) -> np.ndarray:
    """An image in memory as `read` gives one of a file.

    Color becomes gray and gray color as needed, and alpha is dropped. Other types than uint8 are refused
    rather than scaled: their range is not known.

    Args:
        pixels: uint8 `[h, w]`, or `[h, w, c]` with one (gray), three (RGB) or four (RGBA) channels.
        channels: 1 (gray) or 3 (RGB), `DatasetSpec.channels`.

    Returns:
        uint8 `[h, w, channels]`.

    Raises:
        UserError: another shape or type.
    """
    if not isinstance(pixels, np.ndarray):
        kind = type(pixels).__name__
        raise UserError(f"image is a {kind}; expected a numpy array (np.asarray) or the path of a file")
    if pixels.dtype != np.uint8:
        raise UserError(
            f"image has type {pixels.dtype}; expected uint8, 0 to 255: scale it first, values of 0 to 1 with "
            "(255 * image).round().astype(np.uint8)"
        )
    image = pixels[..., None] if pixels.ndim == 2 else pixels
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4) or not image.size:
        raise UserError(
            f"image has shape {pixels.shape}; expected [h, w] or [h, w, c] with 1, 3 or 4 channels, not empty"
        )
    image = np.ascontiguousarray(image[..., :3])
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, -1)
    # By way of a PNG file's bytes: its decoder rounds otherwise than cvtColor, and a net shall see the same
    # pixels whether it is given a file or what the file holds.
    data = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 0])[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)[..., None]
