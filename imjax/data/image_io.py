"""Reading image files: which ones a folder has, and decoding with checks that leave no file half read.

`read_image`, `read_gray` and their like are for the files of published sets, whose kind is known. Of others
`image_meaning` decides what they hold.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import h5py
import numpy as np
import tifffile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imjax.data import tiff
from imjax.errors import ErrorCode, UserError, file_error, unreadable_error

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif")
"""Read whatever their case."""
PLUGINS: dict[bytes, Callable[[io.BytesIO, str], ImageFile]] = {
    b"\x89PNG": PngImageFile,
    b"\xff\xd8": JpegImageFile,
    b"BM": BmpImageFile,
    b"RIFF": WebPImageFile,
    b"GIF8": GifImageFile,
}
"""First bytes of a file → Pillow's reader of its header; TIFF is tifffile's."""
LARGE_PIXELS = 2**28
"""Pixels (16384 x 16384, 0.8 GB of RGB) from which a file must be large, too."""
MAX_PIXELS = 2**30
"""Pixels that OpenCV decodes at most."""
MAX_PIXELS_PER_BYTE = 200
"""Pixels per byte of the file that no photo reaches; a PNG of one value everywhere has a thousand."""


def find_images(folder: Path) -> list[Path]:
    """Image files of a folder by name; hidden files and sub-folders are left out.

    Links that lead nowhere are among them, so that whoever reads them says so.

    Raises:
        UserError: there is no such folder or no image in it, or two images share a stem, after which their
            masks are named.
    """
    if not folder.is_dir():
        raise file_error(
            folder, f"no such folder, expected one with images ({', '.join(ENDINGS)})", ErrorCode.MISSING
        )
    entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    named = [path for path in entries if path.suffix.lower() in ENDINGS]
    files = sorted(path for path in named if path.is_file() or path.is_symlink() and not path.exists())
    if not files:
        held = f"{sum(path.is_dir() for path in entries)} sub-folders, which are not read, and "
        others = f"{sum(path.is_file() for path in entries)} other files"
        raise file_error(
            folder, f"no image, but {held}{others}; expected {', '.join(ENDINGS)}", ErrorCode.MISSING
        )
    by_stem: dict[str, Path] = {}
    for path in files:
        first = by_stem.setdefault(path.stem, path)
        if first is not path:
            raise file_error(
                path,
                f"has the stem of {first.name}, and masks are named after it; rename one of them",
                ErrorCode.CONFLICT,
            )
    return files


def convert_array(pixels: object, channels: int) -> np.ndarray:
    """An image in memory as `image_meaning.ImageReading` gives one of a file.

    For nets of gray or RGB, color becomes gray and gray color as needed, and alpha is dropped. Other types
    than uint8 are refused rather than scaled: their range is not known.

    Args:
        pixels: uint8 `[h, w]` or `[h, w, c]` with `channels` channels; for nets of gray or RGB also one
            (gray), three (RGB) or four (RGBA).
        channels: `DatasetSpec.channels`.

    Returns:
        uint8 `[h, w, channels]`.

    Raises:
        UserError: another shape or type.
    """
    if not isinstance(pixels, np.ndarray):
        kind = type(pixels).__name__
        raise UserError(
            f"image is a {kind}; expected a numpy array (np.asarray) or the path of a file",
            code=ErrorCode.WRONG_TYPE,
            field="image",
        )
    if pixels.dtype != np.uint8:
        raise UserError(
            f"image has type {pixels.dtype}; expected uint8, 0 to 255: scale it first, values of 0 to 1 with "
            "(255 * image).round().astype(np.uint8)",
            code=ErrorCode.WRONG_TYPE,
            field="image",
        )
    image = pixels[..., None] if pixels.ndim == 2 else pixels
    accepted = (1, 3, 4) if channels in (1, 3) else (channels,)
    if image.ndim != 3 or image.shape[-1] not in accepted or not image.size:
        raise UserError(
            f"image has shape {pixels.shape}; expected [h, w] or [h, w, c] with "
            f"{' or '.join(map(str, accepted))} channels, not empty",
            code=ErrorCode.WRONG_TYPE,
            field="image",
        )
    image = np.ascontiguousarray(image[..., :3] if channels in (1, 3) else image)
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, -1)
    # By way of a PNG file's bytes: its decoder rounds otherwise than cvtColor, and a net shall see the same
    # pixels whether it is given a file or what the file holds.
    data = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 0])[1]
    gray = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    assert gray is not None, "a PNG file that OpenCV itself has written is readable"
    return gray[..., None]


def read_image(path: Path) -> np.ndarray:
    """Decode an image file to RGB uint8 `[h, w, 3]`; UserError as for `decode`."""
    # Masks are drawn on the pixels as stored, hence no turning by the EXIF flag.
    return decode(path, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


def read_gray(path: Path) -> np.ndarray:
    """Decode an image file to gray uint8 `[h, w]`, whatever its channels.

    Raises:
        UserError: missing or damaged.
    """
    return decode(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)


def read_index(path: Path) -> np.ndarray:
    """Decode an 8-bit single-channel mask, uint8 `[h, w]`.

    Raises:
        UserError: missing, damaged, or not 8-bit single-channel.
    """
    mask = decode(path, cv2.IMREAD_UNCHANGED)
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise file_error(
            path,
            f"{mask.dtype} array {mask.shape}, expected an 8-bit single-channel mask",
            ErrorCode.WRONG_TYPE,
        )
    return mask


def read_objects(paths: Sequence[Path]) -> np.ndarray:
    """Numbers of objects, int32 `[h, w]`, of masks as `read_binary` reads them: each connected part is one.

    Files that hold several objects keep them apart so. What two files share belongs to the later one.

    Raises:
        UserError: as for `read_binary`, or the files have different sizes.
    """
    joined: np.ndarray | None = None
    count = 0
    for path in paths:
        number, parts = cv2.connectedComponents(read_binary(path), connectivity=8)
        if joined is None:
            joined = np.zeros(parts.shape, np.int32)
        if joined.shape != parts.shape:
            raise file_error(
                path, f"{parts.shape} pixels, but {paths[0].name} has {joined.shape}", ErrorCode.CONFLICT
            )
        inside = parts > 0
        joined[inside] = parts[inside] + count
        count += number - 1
    assert joined is not None, "there is a file"
    return joined


def read_binary(path: Path) -> np.ndarray:
    """Decode a mask of 0 and 255, uint8 `[h, w]` of 0 and 1.

    Raises:
        UserError: as for `read_index`, or another value in the file.
    """
    mask = read_index(path)
    unknown = mask[(mask != 0) & (mask != 255)]
    if unknown.size:
        raise file_error(
            path,
            f"value {unknown[0]} is no class; expected 0 (background) or 255 (foreground), "
            "correct the mask or remove the pair",
            ErrorCode.OUT_OF_RANGE,
        )
    return mask // np.uint8(255)


def read_h5(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Arrays `image` and `label` of an HDF5 file; UserError where it is damaged or lacks one."""
    try:
        with h5py.File(path) as file:
            return np.asarray(file["image"]), np.asarray(file["label"])
    except (OSError, KeyError) as error:
        why = " ".join(str(error).split())
        raise file_error(
            path,
            f"{why}; expected an HDF5 file with arrays image and label, download or copy it again",
            ErrorCode.UNREADABLE,
        ) from error


def decode(path: Path, flags: int) -> np.ndarray:
    """Decode an image file as OpenCV's `flags` say, channels in its order.

    Raises:
        UserError: missing, truncated, too large or no image.
    """
    return decode_bytes(read_checked(path), flags, path)


def read_checked(path: Path) -> bytes:
    """An image file's bytes, once they are known to be all there and no more than can be decoded.

    Raises:
        UserError: missing, unreadable, empty, truncated or too large.
    """
    if not path.is_file():
        raise file_error(path, "file not found; put it back or remove its entry", ErrorCode.MISSING)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable_error(path, error) from error
    if not _complete(data):
        raise file_error(
            path, f"truncated after {len(data)} bytes; download or copy the file again", ErrorCode.DAMAGED
        )
    if why := describe_oversized(data):
        raise file_error(path, f"{why}", ErrorCode.OUT_OF_RANGE)
    return data


def decode_bytes(data: bytes, flags: int, path: Path) -> np.ndarray:
    """`decode` of a file's bytes; `path` is for messages."""
    try:
        with tiff.quiet():
            array = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        reason = " ".join(str(error).split())
        raise file_error(
            path, f"no readable image ({reason}); replace the file", ErrorCode.UNREADABLE
        ) from error
    if array is None:
        raise file_error(
            path, f"{len(data)} bytes that are no readable image; replace the file", ErrorCode.UNREADABLE
        )
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
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    return bool(data)


def describe_oversized(data: bytes) -> str:
    """Why an image file must not be decoded; empty if nothing is against it, or the format is another.

    Args:
        data: PNG, JPEG, BMP, TIFF, WebP or GIF, all of it.
    """
    size = header_size(data)
    if size is None:
        return ""
    width, height = size
    if width * height > MAX_PIXELS:
        return f"{width}x{height} (w x h) pixels, expected at most {MAX_PIXELS} in all; cut it into pieces"
    if width * height > LARGE_PIXELS and width * height > MAX_PIXELS_PER_BYTE * len(data):
        return f"{width}x{height} (w x h) pixels in {len(data)} bytes, expected an image; remove it"
    return ""


def header_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as the file's header has them; None of other formats and of damaged files."""
    try:
        if data[:2] in (b"II", b"MM"):
            return _tiff_size(data)
        for start, plugin in PLUGINS.items():
            if data.startswith(start):
                # The plugin itself, not Image.open: that refuses large images by a limit of its own.
                return plugin(io.BytesIO(data), "").size
    except Exception:
        # Cut, or no image: the decoder has its own message for that. Parsers of damaged files raise anything.
        return None
    return None


def _tiff_size(data: bytes) -> tuple[int, int]:
    """Width and height of the first page; raises what tifffile raises."""
    with tiff.quiet(), tifffile.TiffFile(io.BytesIO(data)) as file:
        # Of damaged files these may be anything.
        return int(file.pages.first.imagewidth), int(file.pages.first.imagelength)
