"""One image file: what it says it holds, and its pixels as stored.

Formats are recognized by their first bytes, whatever the name ends with. Nothing is decided here: what the
pages of a stack are, or whether pixels without data matter, is `image_meaning`'s to say, for all files of a
set alike.
"""

from __future__ import annotations

import dataclasses
import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imjax.data import image_io, tiff
from imjax.errors import ErrorCode, UserError, file_error

Colors = Literal["gray", "rgb", "other"]
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
GRAY_MODES, ALPHA_MODES = ("L", "1", "LA"), ("LA", "RGBA", "PA")
EXIF_ORIENTATION = 0x0112
OpenHeader = Callable[[io.BytesIO, str], ImageFile]


@dataclasses.dataclass(frozen=True)
class ImageEvidence:
    """What one file says it holds; nothing is inferred from its pixels."""

    path: Path
    format: str
    """`PNG`, `JPEG`, `TIFF`, `BMP`, `WebP` or `GIF`, by its first bytes."""
    size: tuple[int, int]
    """Height and width as stored."""
    dtype: str
    channels: int
    """Samples of a pixel, channel axes of a stack among them and alpha not."""
    colors: Colors
    alpha: str = ""
    """`straight` or `premultiplied` where the file says that its last sample is alpha."""
    orientation: int = 1
    """As EXIF numbers them, 1 to 8."""
    pages: int = 1
    """Pictures in the file."""
    axes: str = ""
    """What the pages are: `Z`, `T`, `ZT` …, `frames` of an animation, or `?`."""
    source: str = ""
    """Whose metadata say so."""
    nodata: float | None = None
    """Value of pixels without data that the file names."""
    stored_as: str = ""
    """What was turned to plain gray or RGB: `CMYK`, `palette`, `YCbCr`, `white is 0`."""
    hint: str = ""
    """What may have gone wrong when the file was written."""

    @property
    def turned_size(self) -> tuple[int, int]:
        """Height and width once the orientation is applied."""
        return self.size[::-1] if self.orientation > 4 else self.size


def inspect_image(path: Path) -> ImageEvidence:
    """Read what a file's header says.

    Raises:
        UserError: missing, unreadable, truncated, too large, or no image.
    """
    return _inspect(image_io.read_checked(path), path)


def read_stored(path: Path) -> tuple[np.ndarray, ImageEvidence]:
    """The pixels of a file, not turned, with alpha where it has one.

    Returns:
        Of the file's own type, `[pages, h, w, samples]`, colors as RGB, alpha last; and what the header says.

    Raises:
        UserError: as of `inspect_image`, or damaged further in.
    """
    data = image_io.read_checked(path)
    evidence = _inspect(data, path)
    if evidence.format == "TIFF":
        pixels = _planes(*tiff.read_tiff(data, path))
    elif evidence.format in ("WebP", "GIF") or evidence.pages > 1:
        pixels = _by_pillow(data, evidence)
    else:
        pixels = _by_opencv(data, evidence)
    samples = evidence.channels + bool(evidence.alpha)
    if pixels.shape != (evidence.pages, *evidence.size, samples) or pixels.dtype.name != evidence.dtype:
        raise file_error(
            path,
            f"decoded to {pixels.dtype} {pixels.shape}, but its header says {evidence.dtype} "
            f"{(evidence.pages, *evidence.size, samples)}; save it again",
            ErrorCode.DAMAGED,
        )
    return pixels, evidence


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an array `[pages, h, w, ...]` upright, as viewers do.

    Args:
        orientation: as EXIF numbers them: 1 upright, 2 mirrored, 3 upside down, 4 the mirror of 3, 5 the
            transpose, 6 to be turned clockwise, 7 the other transpose, 8 to be turned counter-clockwise.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(1, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[:, ::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(pixels)


def _inspect(data: bytes, path: Path) -> ImageEvidence:
    try:
        with tiff.quiet():
            if data[:4] in TIFF_STARTS:
                return _inspect_tiff(data, path)
            if data.startswith(b"\x89PNG"):
                return _inspect_png(data, path)
            for format, starts, plugin in _PLUGINS:
                if starts(data):
                    return _inspect_plainly(data, path, format, plugin)
    except UserError:
        raise
    except Exception as error:
        # Parsers of damaged files raise anything.
        raise _unreadable(path, error) from error
    raise file_error(
        path,
        f"{len(data)} bytes that are no PNG, JPEG, TIFF, BMP, WebP or GIF; replace or convert the file",
        ErrorCode.UNREADABLE,
    )


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return file_error(path, f"no readable image ({reason}); replace the file", ErrorCode.UNREADABLE)


_PLUGINS: tuple[tuple[str, Callable[[bytes], bool], OpenHeader], ...] = (
    ("JPEG", lambda data: data.startswith(b"\xff\xd8"), JpegImageFile),
    ("BMP", lambda data: data.startswith(b"BM"), BmpImageFile),
    ("GIF", lambda data: data[:6] in (b"GIF87a", b"GIF89a"), GifImageFile),
    ("WebP", lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", WebPImageFile),
)


def _inspect_tiff(data: bytes, path: Path) -> ImageEvidence:
    layout = tiff.inspect_tiff(data, path)
    length = dict(zip(layout.axes, layout.shape, strict=True))
    samples = length.get("S", 1)
    has_alpha = bool(layout.alpha) and length.get("C", 1) == 1 and samples > 1
    pages = {axis: n for axis, n in length.items() if axis not in "YXSC" and n > 1}
    known = "".join(pages) if layout.source and not set(pages) - {"Z", "T"} else "?"
    channels = samples * length.get("C", 1) - has_alpha
    if layout.has_mask:
        raise file_error(
            path,
            "a page of it is a mask of pixels without data, which is not read; save it with a nodata value "
            "instead (gdal_translate -a_nodata)",
            ErrorCode.UNSUPPORTED,
        )
    converted = layout.photometric not in ("gray", "rgb")
    is_rgb = layout.photometric not in ("gray", "white is 0") and channels == 3
    return ImageEvidence(
        path, "TIFF", (length["Y"], length["X"]), layout.dtype, channels,
        "gray" if channels == 1 else "rgb" if is_rgb else "other",
        layout.alpha if has_alpha else "",
        layout.orientation if 1 <= layout.orientation <= 8 else 1,
        int(np.prod(list(pages.values()), dtype=np.int64)), known if pages else "", layout.source,
        layout.nodata, layout.photometric if converted else "", layout.hint,
    )  # fmt: skip


def _planes(array: np.ndarray, layout: tiff.Layout) -> np.ndarray:
    """`[pages, h, w, samples]` of a TIFF's axes: slower axes first, channels before the samples of each."""
    last = [axis for axis in "YXCS" if axis in layout.axes]
    order = [layout.axes.index(axis) for axis in (*(a for a in layout.axes if a not in "YXCS"), *last)]
    length = dict(zip(layout.axes, layout.shape, strict=True))
    samples = length.get("C", 1) * length.get("S", 1)
    return array.transpose(order).reshape(-1, length["Y"], length["X"], samples)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        yield kind, data[at + 8 : at + 8 + length]
        at += 12 + length


def _inspect_png(data: bytes, path: Path) -> ImageEvidence:
    chunks: dict[bytes, bytes] = {}
    for kind, content in _png_chunks(data):
        chunks.setdefault(kind, content)
    width, height, bits, color_type = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    colors: Colors = "gray" if color_type in (0, 4) else "rgb"
    has_alpha = color_type in (4, 6) or b"tRNS" in chunks
    frames = PngImageFile(io.BytesIO(data), "").n_frames if b"acTL" in chunks else 1
    return ImageEvidence(
        path, "PNG", (height, width), "uint16" if bits == 16 else "uint8",
        1 if colors == "gray" else 3, colors, "straight" if has_alpha else "",
        _exif_orientation(chunks.get(b"eXIf", b"")),
        frames, "frames" if frames > 1 else "", stored_as="palette" if color_type == 3 else "",
    )  # fmt: skip


def _exif_orientation(block: bytes) -> int:
    """1 to 8 of an EXIF block; 1 where it has none."""
    exif = Image.Exif()
    if block:
        exif.load(block)
    value = exif.get(EXIF_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def _inspect_plainly(data: bytes, path: Path, format: str, plugin: OpenHeader) -> ImageEvidence:
    image = plugin(io.BytesIO(data), "")
    mode = image.mode
    orientation = image.getexif().get(EXIF_ORIENTATION, 1) if format in ("JPEG", "WebP") else 1
    frames = getattr(image, "n_frames", 1) if format in ("WebP", "GIF") else 1
    colors: Colors = "gray" if mode in GRAY_MODES else "rgb"
    # The fourth byte of a BMP pixel fills up a word, whatever Pillow calls it.
    has_alpha = format != "BMP" and (mode in ALPHA_MODES or "transparency" in image.info)
    if frames > 1:
        # What a frame shows depends on those before it: colors, and what shines through, too.
        colors = "rgb"
    return ImageEvidence(
        path, format, image.size[::-1], "uint8", 1 if colors == "gray" else 3, colors,
        "straight" if has_alpha else "", orientation if orientation in range(1, 9) else 1,
        frames, "frames" if frames > 1 else "",
        stored_as={"CMYK": "CMYK", "P": "palette"}.get(mode, "") if format != "BMP" else "",
    )  # fmt: skip


def _by_pillow(data: bytes, evidence: ImageEvidence) -> np.ndarray:
    """Frames of WebP, GIF and animated PNG."""
    plugins: dict[str, OpenHeader] = {"WebP": WebPImageFile, "GIF": GifImageFile, "PNG": PngImageFile}
    mode = ("L" if evidence.colors == "gray" else "RGB") + ("A" if evidence.alpha else "")
    frames = []
    try:
        image = plugins[evidence.format](io.BytesIO(data), "")
        for number in range(evidence.pages):
            image.seek(number)
            frames.append(np.array(image.convert(mode)))
    except Exception as error:
        raise _unreadable(evidence.path, error) from error
    return np.stack(frames).reshape(evidence.pages, *evidence.size, -1)


def _by_opencv(data: bytes, evidence: ImageEvidence) -> np.ndarray:
    """PNG, JPEG and BMP: the channels that the header says, of what OpenCV makes of them."""
    with tiff.quiet():
        array = image_io.decode_bytes(data, cv2.IMREAD_UNCHANGED, evidence.path)
    array = array[..., None] if array.ndim == 2 else array
    alpha = (
        array[..., 3:] if array.shape[-1] == 4 else np.full_like(array[..., :1], np.iinfo(array.dtype).max)
    )
    if evidence.colors == "gray":
        picture = array[..., :1]
    else:
        # OpenCV's order is blue, green, red, alpha.
        picture = array[..., 2::-1] if array.shape[-1] >= 3 else np.repeat(array, 3, -1)
    parts = [picture, alpha] if evidence.alpha else [picture]
    return np.concatenate(parts, -1)[None]
