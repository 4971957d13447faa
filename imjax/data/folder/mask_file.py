"""One mask file: what is stored in it, before anyone has decided what that means."""

from __future__ import annotations

import dataclasses
import io
import itertools
import warnings
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageOps

from imjax.data import image_io, tiff
from imjax.data.folder.tables import Color
from imjax.data.image_file import EXIF_ORIENTATION, turn
from imjax.errors import ErrorCode, file_error, unreadable_error

WHITE = 255
"""The largest value of 8 bits; that of other depths, such as 65535, is read as this one."""

MOST_PAGES = 1000
"""Pages that are counted; more are as wrong."""

Storage = Literal["gray", "palette", "color"]


@dataclasses.dataclass(frozen=True)
class StoredMask:
    """Pixels of a mask file, upright where the file says how it was turned."""

    pixels: np.ndarray
    """Stored numbers `[h, w]`: gray values, or indices where there is a palette. Colors: uint8
    `[h, w, 3]`."""
    storage: Storage
    bits: int
    """Of one stored number."""
    palette: np.ndarray | None = None
    """RGB uint8 `[256, 3]` of the indices."""
    white: int = WHITE
    """What is read as `WHITE`: that, or the largest value of a greater depth."""
    white_is_zero: bool = False
    """Whether a TIFF stores black as its largest value; pixels are as viewers show them."""
    nodata: float | None = None
    """Value that GDAL's tag names as no data."""

    def shades(self) -> np.ndarray:
        """Gray levels `[h, w]`: of a palette those of its colors. Not of colors."""
        return self.pixels if self.palette is None else self.palette[self.pixels, 0]

    def colors(self) -> np.ndarray:
        """Colors of all kinds as `pack_colors` has them, int64 `[h, w]`; -1 where a gray value is none."""
        if self.storage == "color":
            return pack_colors(self.pixels)
        if self.palette is not None:
            return pack_colors(self.palette)[self.pixels]
        shown = (self.pixels >= 0) & (self.pixels <= WHITE)
        return np.where(shown, self.pixels.astype(np.int64) * 0x010101, -1)


@dataclasses.dataclass(frozen=True)
class _Header:
    """What a decoder does not tell."""

    bits: int = 8
    indexed: bool = False
    has_alpha: bool = True
    """Whether a fourth channel is one; a PNG may only name one color that viewers do not show."""
    pages: int = 1
    channels: int = 1
    white_is_zero: bool = False
    nodata: float | None = None
    orientation_at: int = 0
    """Byte of a TIFF that has its orientation; 0 where it has none."""


def pack_color(color: Color) -> int:
    """RGB as one integer, red the highest byte."""
    return color[0] << 16 | color[1] << 8 | color[2]


def pack_colors(colors: np.ndarray) -> np.ndarray:
    """`pack_color` of each: uint8 `[..., 3]` → int64 `[...]`."""
    red, green, blue = np.moveaxis(colors.astype(np.int64), -1, 0)
    return red << 16 | green << 8 | blue


def unpack_colors(colors: np.ndarray) -> np.ndarray:
    """The inverse of `pack_colors`: int64 `[...]` → uint8 `[..., 3]`."""
    return np.stack([colors >> 16, colors >> 8, colors], -1).astype(np.uint8)


def read_mask(path: Path) -> StoredMask:
    """Decode a mask.

    Raises:
        UserError: missing, damaged or no image; JPEG; several pages; values that are no whole numbers; colors
            of more than 8 bits; transparency that hides or carries the mask.
    """
    try:
        data = image_io.read_checked(path)
    except OSError as error:
        # Of its folder: `read_checked` says what is wrong with the file.
        raise unreadable_error(path, error) from error
    pixels = image_io.decode_bytes(data, cv2.IMREAD_UNCHANGED, path)
    if data[:2] == b"\xff\xd8":
        raise file_error(
            path,
            "a JPEG inside, whatever its name, expected PNG, TIFF or BMP: JPEG changes values; export again",
            ErrorCode.UNSUPPORTED,
        )
    header = _read_header(data)
    if header.pages > 1:
        raise file_error(
            path,
            f"{header.pages} pages, expected one: which of them is the mask is not said; save that page, or "
            "their maximum, or each page with an image of its own",
            ErrorCode.UNSUPPORTED,
        )
    if header.channels not in (1, 3, 4):
        raise file_error(
            path,
            f"{header.channels} channels, expected one, or RGB; save each label in a folder of its own",
            ErrorCode.WRONG_TYPE,
        )
    if header.indexed:
        return _read_indices(path, data, header)
    if data.startswith(b"\x89PNG"):
        pixels = _turn_upright(data, pixels)
    if pixels.ndim == 3:
        pixels = _drop_alpha(path, pixels, header.has_alpha)
        if (pixels != pixels[..., :1]).any():
            return StoredMask(_eight_bit_colors(path, pixels), "color", 8)
        pixels = pixels[..., 0]
    gray = _gray(_whole_numbers(path, pixels), header.bits, pixels.dtype)
    return dataclasses.replace(gray, white_is_zero=header.white_is_zero, nodata=header.nodata)


def _read_header(data: bytes) -> _Header:
    """Facts of a file that a decoder has read; of one that only the decoder understands, none."""
    if data.startswith(b"\x89PNG"):
        return _Header(data[24], indexed=data[25] == 3, has_alpha=data[25] in (4, 6))
    if data.startswith(b"BM"):
        bits = int.from_bytes(data[28:30], "little")
        return _Header(min(bits, 8), indexed=bits <= 8)
    try:
        with tiff.quiet(), tifffile.TiffFile(io.BytesIO(data)) as file:
            first = file.pages.first
            frames = int((file.imagej_metadata or {}).get("images", 1))
            return _Header(
                bits=int(np.max(first.bitspersample)),
                indexed=first.photometric == 3,
                pages=max(_count_pages(file), frames),
                channels=first.samplesperpixel,
                white_is_zero=first.photometric == 0,
                nodata=tiff.read_nodata(first),
                orientation_at=first.tags[tiff.ORIENTATION].valueoffset
                if tiff.ORIENTATION in first.tags
                else 0,
            )
    except Exception:  # Of a file that is not quite TIFF the parser raises anything.
        return _Header()


def _count_pages(file: tifffile.TiffFile) -> int:
    """Pages that are no smaller copies for viewers; of very many, or in a circle, not all."""
    seen: set[int] = set()
    count = 0
    for page in itertools.islice(file.pages, MOST_PAGES):
        if page.offset in seen:
            break
        seen.add(page.offset)
        count += not (isinstance(page, tifffile.TiffPage) and page.is_reduced)
    return count


def _read_indices(path: Path, data: bytes, header: _Header) -> StoredMask:
    """The stored indices, which OpenCV turns into their colors."""
    orientation = 1
    if at := header.orientation_at:
        # Pillow reads the rows of a turned TIFF wrongly: it gets an upright one.
        order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
        orientation = int.from_bytes(data[at : at + 2], order)
        data = data[:at] + (1).to_bytes(2, order) + data[at + 2 :]
    try:
        with warnings.catch_warnings():
            # A large mask is no attack: what is none has been refused by now.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as file:
                file.load()
                upright = ImageOps.exif_transpose(file)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise file_error(
            path, f"no readable mask ({error}); save it as 8-bit gray", ErrorCode.UNREADABLE
        ) from error
    pixels, bits = turn(np.asarray(upright)[None], orientation)[0], header.bits
    if upright.mode != "P":  # a palette of all grays in their order is none to Pillow
        return StoredMask(pixels.astype(np.uint8) * (WHITE if pixels.dtype == bool else 1), "gray", bits)
    palette = np.zeros((256, 3), np.uint8)
    stored = np.array(upright.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette[: len(stored)] = stored
    return StoredMask(pixels, "palette", bits, palette)


def _turn_upright(data: bytes, pixels: np.ndarray) -> np.ndarray:
    """Turn what a PNG's EXIF says is turned; of TIFF OpenCV has done it."""
    if b"eXIf" not in data:
        return pixels
    try:
        with Image.open(io.BytesIO(data)) as file:
            return turn(pixels[None], int(file.getexif().get(EXIF_ORIENTATION, 1)))[0]
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError):
        return pixels


def _drop_alpha(path: Path, pixels: np.ndarray, has_alpha: bool) -> np.ndarray:
    """RGB `[h, w, 3]` of OpenCV's channels, where transparency says no more than the colors do."""
    if pixels.shape[2] not in (3, 4):
        raise file_error(
            path,
            f"{pixels.shape[2]} channels, expected one, or RGB; save each label in a folder of its own",
            ErrorCode.WRONG_TYPE,
        )
    colors = np.ascontiguousarray(pixels[..., 2::-1])
    alpha = pixels[..., 3] if pixels.shape[2] == 4 and has_alpha else None
    if alpha is None or (alpha == alpha.flat[0]).all():
        return colors
    clear, black = alpha == 0, ~colors.any(-1)
    opaque = alpha == alpha.max()
    # Drawn on a transparent ground: the ground is black to every decoder, and black is nothing else.
    if (clear | opaque).all() and (clear == black).all():
        return colors
    raise file_error(
        path,
        "partly transparent, expected opaque: what its transparent pixels are is not clear; draw the mask on "
        "a ground of one color and save it without transparency",
        ErrorCode.UNSUPPORTED,
    )


def _eight_bit_colors(path: Path, colors: np.ndarray) -> np.ndarray:
    if colors.dtype == np.uint16 and not (colors % 257).any():
        return (colors // 257).astype(np.uint8)  # as 8 bits become 16
    if colors.dtype != np.uint8:
        raise file_error(
            path,
            f"{colors.dtype} array {colors.shape}, expected 8-bit colors or one channel; save it so",
            ErrorCode.WRONG_TYPE,
        )
    return colors


def _whole_numbers(path: Path, pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype.kind == "f" and not (np.isfinite(pixels) & (pixels == pixels.round())).all():
        raise file_error(
            path,
            "values between whole numbers, or none (NaN, inf), expected classes; save the mask as 8-bit",
            ErrorCode.WRONG_TYPE,
        )
    return pixels.astype(np.int64) if pixels.dtype.kind == "f" else pixels


def _gray(pixels: np.ndarray, bits: int, decoded: np.dtype) -> StoredMask:
    """Stored numbers, the largest of a great depth as `WHITE` where it is not in doubt."""
    if bits in (2, 4) and decoded == np.uint8:
        return StoredMask(pixels // (WHITE // (2**bits - 1)), "gray", bits)  # decoders spread them over eight
    largest = 2**bits - 1
    # Of signed numbers -1 has these bits; it stays -1, which is no class.
    if bits > 8 and decoded.kind == "u" and (pixels == largest).any() and not (pixels == WHITE).any():
        return StoredMask(np.where(pixels == largest, WHITE, pixels), "gray", bits, white=largest)
    return StoredMask(pixels, "gray", bits)
