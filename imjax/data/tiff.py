"""TIFF files: what their pages are, and their pixels, of whatever kind and number of samples.

The container is tifffile's to read. Where it cannot decode (LZW and Zstandard need a package that imjax does
without), libtiff does: as a library of Pillow for the bytes of each strip, so that samples of any number and
depth come out as they were stored, and as one of OpenCV for colors that are no plain RGB.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import tifffile
from PIL.TiffImagePlugin import TiffImageFile
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, PLANARCONFIG, PREDICTOR

from imjax.errors import ErrorCode, UserError, file_error

MOST_SAMPLES = 2**30
"""Samples of all pages together that are read at most."""
LARGE_SAMPLES, SAMPLES_PER_BYTE = 2**24, 2000
"""From so many samples on, a file must have a byte for so many: no compression of a picture does better, and
a damaged header that claims more would fill the memory."""
COMMON = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE)
"""What is decoded without a conversion of colors."""
BY_TIFFFILE = (COMPRESSION.NONE, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE, COMPRESSION.PACKBITS)
BY_STRIP = (COMPRESSION.LZW, COMPRESSION.ZSTD, COMPRESSION.LZMA, *BY_TIFFFILE)
"""Codecs that know of bytes only, not of the samples in them."""
ORIENTATION, GDAL_NODATA = 274, 42113


class Layout(NamedTuple):
    """What a TIFF file holds, by its tags and metadata."""

    axes: str
    """One letter per axis, as tifffile has them: Y and X, S (samples), C (channels), Z, T; Q is unknown."""
    shape: tuple[int, ...]
    dtype: str
    photometric: str
    """`gray`, `white is 0`, `rgb`, `palette`, or the name of a color space that OpenCV turns to RGB."""
    samples: int
    """Per pixel of a page, alpha among them."""
    alpha: str
    """`straight` or `premultiplied` where the last sample is said to be alpha; else empty."""
    orientation: int
    nodata: float | None
    source: str
    """Whose metadata name the axes: `ImageJ`, `OME`; empty where nothing does."""
    has_mask: bool
    """Whether a page of the file is a transparency mask of another."""
    hint: str = ""
    """What may have gone wrong when the file was written."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep tifffile, Pillow and OpenCV from printing what is odd about a file: whoever reads says that."""
    logger = logging.getLogger("tifffile")
    disabled, level = logger.disabled, cv2.utils.logging.getLogLevel()
    logger.disabled = True
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = disabled
        cv2.utils.logging.setLogLevel(level)


def inspect_tiff(data: bytes, path: Path) -> Layout:
    """What a TIFF file's tags and metadata say.

    Args:
        data: the file, all of it.
        path: for messages.

    Raises:
        UserError: no TIFF, damaged, too large, or several pictures in one file.
    """
    with _open(data, path) as file:
        return _layout(file, data, path)


def read_tiff(data: bytes, path: Path) -> tuple[np.ndarray, Layout]:
    """The pixels of a TIFF file as stored, the axes and type as of `inspect_tiff`, and what that gives.

    Palettes and color spaces are turned to RGB 8-bit, white-is-0 is inverted, 1-bit becomes 0 and 255.

    Raises:
        UserError: as of `inspect_tiff`, or a compression that nothing here decodes.
    """
    with _open(data, path) as file:
        layout = _layout(file, data, path)
        series = file.series[0] if layout.source else None
        if series is not None and series.dataoffset is not None:
            # ImageJ leaves out the tags of all pages but the first.
            _check_extent(data, series.dataoffset, series.nbytes, path)
            return _invert(series.asarray(), file.pages.first), layout
        pages = _pages(series.pages if series is not None else file.pages)
        first = _pixels(pages[0], data, path)
        planes = [first, *(_pixels(page, data, path) for page in pages[1:])]
        if any(plane.shape != first.shape or plane.dtype != first.dtype for plane in planes):
            raise file_error(
                path, "pages of several kinds, expected one; save each in its own file", ErrorCode.UNSUPPORTED
            )
        return np.stack(planes).reshape(layout.shape), layout


@contextlib.contextmanager
def _open(data: bytes, path: Path) -> Iterator[tifffile.TiffFile]:
    """tifffile's view of a file; whatever it raises becomes one line."""
    try:
        with quiet(), tifffile.TiffFile(io.BytesIO(data)) as file:
            yield file
    except UserError:
        raise
    except MemoryError as error:
        raise file_error(path, "no room in memory; cut it into pieces", ErrorCode.OUT_OF_RANGE) from error
    except Exception as error:
        # Parsers of damaged files raise anything.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise file_error(
            path, f"no readable TIFF ({reason}); replace the file", ErrorCode.UNREADABLE
        ) from error


def _pages(pages: object) -> list[tifffile.TiffPage]:
    """Pages that are pictures: no smaller copies (overviews) of them, and no masks."""
    whole = [page.aspage() for page in pages if page is not None]  # type: ignore[attr-defined]
    return [page for page in whole if not page.subfiletype & 0b101] or whole[:1]


def _layout(file: tifffile.TiffFile, data: bytes, path: Path) -> Layout:
    source = _axes_source(file)
    if source:
        first, axes, shape = file.pages.first, file.series[0].axes, tuple(file.series[0].shape)
        if len(file.series) > 1:
            raise file_error(
                path,
                f"{len(file.series)} images by its {source} metadata, expected one; save each in a file of "
                "its own",
                ErrorCode.UNSUPPORTED,
            )
    else:
        pages = _pages(file.pages)
        first = pages[0]
        axes, shape = f"Q{first.axes}", (len(pages), *first.shape)
        if len({(page.imagelength, page.imagewidth) for page in pages}) > 1:
            raise file_error(
                path,
                f"{len(pages)} pages of different sizes, expected one image; save each in its own file",
                ErrorCode.UNSUPPORTED,
            )
    if first.photometric not in COMMON or first.photometric == PHOTOMETRIC.PALETTE:
        # Whatever the samples are, RGB is made of them.
        kept = [(axis, length) for axis, length in zip(axes, shape, strict=True) if axis != "S"]
        axes, shape = "".join(axis for axis, _ in kept) + "S", (*(length for _, length in kept), 3)
    _check_shape(axes, shape, data, path)
    masks = len(file.pages) > 1 and any(page.aspage().subfiletype & 4 for page in file.pages)
    return Layout(
        axes, shape, _dtype(first, path), _photometric(first), first.samplesperpixel, _alpha(first),
        _number(first, ORIENTATION, 1), read_nodata(first), source, masks,
        "" if source else _channels_last_hint(first, shape),
    )  # fmt: skip


def _axes_source(file: tifffile.TiffFile) -> str:
    """Whose metadata say what the pages are; empty if none."""
    if file.is_imagej or file.is_ome:
        return "ImageJ" if file.is_imagej else "OME"
    return "tifffile" if file.is_shaped and "axes" in _shaped(file.pages.first) else ""


def _check_shape(axes: str, shape: tuple[int, ...], data: bytes, path: Path) -> None:
    if not {"Y", "X"} <= set(axes) or not all(shape):
        raise file_error(
            path, f"axes {axes} of lengths {shape}, expected an image; convert it", ErrorCode.WRONG_TYPE
        )
    samples = math.prod(shape)
    if samples > MOST_SAMPLES or (samples > LARGE_SAMPLES and samples > SAMPLES_PER_BYTE * len(data)):
        raise file_error(
            path,
            f"{'x'.join(map(str, shape))} ({axes}) samples in {len(data)} bytes, expected an image; cut it "
            "into pieces or remove it",
            ErrorCode.OUT_OF_RANGE,
        )


def _shaped(page: tifffile.TiffPage) -> dict:
    """The json that tifffile writes as the description."""
    try:
        found = json.loads(page.description)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _channels_last_hint(page: tifffile.TiffPage, shape: tuple[int, ...]) -> str:
    """`tifffile.imwrite` of `[h, w, 5]` without more makes h pages of w rows of 5 pixels."""
    if _shaped(page).get("shape") and shape[0] > 16 and shape[-1] <= 16 < shape[-2]:
        return (
            f"; if it was written as an array of {shape[0]}x{shape[1]}x{shape[2]} (h x w x channels): write "
            "it again with photometric='minisblack', planarconfig='contig'"
        )
    return ""


def _dtype(page: tifffile.TiffPage, path: Path) -> str:
    if page.photometric not in COMMON or page.photometric == PHOTOMETRIC.PALETTE or page.bitspersample < 8:
        return "uint8"
    if page.dtype is None:
        # 10, 12 or 14 bits without padding, which OpenCV unpacks.
        if page.sampleformat == 1 and 8 < page.bitspersample < 16:
            return "uint16"
        raise file_error(
            path,
            f"{page.bitspersample} bits of sample format {page.sampleformat}, expected 8, 16, 32 or 64 bits",
            ErrorCode.WRONG_TYPE,
        )
    if page.dtype.kind not in "uif":
        raise file_error(
            path, f"values of type {page.dtype}, expected whole or real numbers", ErrorCode.WRONG_TYPE
        )
    return page.dtype.name


def _photometric(page: tifffile.TiffPage) -> str:
    names: dict[int, str] = {
        PHOTOMETRIC.MINISBLACK: "gray", PHOTOMETRIC.MINISWHITE: "white is 0", PHOTOMETRIC.RGB: "rgb",
        PHOTOMETRIC.PALETTE: "palette", PHOTOMETRIC.SEPARATED: "CMYK", PHOTOMETRIC.YCBCR: "YCbCr",
    }  # fmt: skip
    return names.get(page.photometric, str(getattr(page.photometric, "name", page.photometric)))


def _alpha(page: tifffile.TiffPage) -> str:
    last = page.extrasamples[-1] if page.extrasamples else EXTRASAMPLE.UNSPECIFIED
    names: dict[int, str] = {EXTRASAMPLE.UNASSALPHA: "straight", EXTRASAMPLE.ASSOCALPHA: "premultiplied"}
    return names.get(last, "")


def _number(page: tifffile.TiffPage, tag: int, default: int) -> int:
    value = page.tags.valueof(tag, default)
    return int(value) if isinstance(value, int) else default


def read_nodata(page: tifffile.TiffPage) -> float | None:
    """The value of pixels without data, as GDAL names it in a tag."""
    text = page.tags.valueof(GDAL_NODATA)
    try:
        return float(str(text).strip("\0 ")) if text is not None else None
    except ValueError:
        return None


def _check_extent(data: bytes, offset: int, count: int, path: Path) -> None:
    if offset + count > len(data):
        raise file_error(
            path, f"truncated after {len(data)} bytes; download or copy the file again", ErrorCode.DAMAGED
        )


def _pixels(page: tifffile.TiffPage, data: bytes, path: Path) -> np.ndarray:
    """A page as stored, the axes of `TiffPage.axes`; colors as of `read_tiff`."""
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        _check_extent(data, offset, count, path)
    stored = sum(page.databytecounts)
    if (
        page.compression == COMPRESSION.NONE
        and 0 not in page.databytecounts
        and stored * 8 < math.prod(page.shape) * page.bitspersample
    ):
        raise file_error(
            path, f"{stored} bytes of pixels, fewer than its size needs; replace the file", ErrorCode.DAMAGED
        )
    plain = page.dtype is not None and page.fillorder == 1 and page.bitspersample in (8, 16, 32, 64)
    if page.photometric not in COMMON or (not plain and page.bitspersample != 1):
        return _by_opencv(page, data, path)
    # tifffile leaves the prediction of real numbers to a package that imjax does without.
    predicted = page.predictor not in (PREDICTOR.NONE, PREDICTOR.HORIZONTAL)
    if page.compression in BY_TIFFFILE and not predicted:
        array = page.asarray()
    elif page.compression in BY_STRIP and plain:
        array = _by_strip(page, data)
    else:
        return _by_opencv(page, data, path)
    return _paint(array, page) if page.photometric == PHOTOMETRIC.PALETTE else _invert(array, page)


def _invert(array: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """White-is-0 as black-is-0; bits as 0 and 255."""
    if array.dtype == bool:
        # tifffile's False is the stored 0.
        return np.where(array ^ (page.photometric == PHOTOMETRIC.MINISWHITE), np.uint8(255), np.uint8(0))
    if page.photometric != PHOTOMETRIC.MINISWHITE:
        return array
    if array.dtype.kind == "u":
        return np.iinfo(array.dtype).max - array
    return ~array if array.dtype.kind == "i" else -array


def _paint(array: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """RGB 8-bit of indices into the page's palette, whose colors have 16 bits, or by mistake 8."""
    colors = np.asarray(page.colormap).T
    colors = colors >> 8 if colors.max() > 255 else colors
    if int(array.max()) >= len(colors):
        raise ValueError(f"index {array.max()} into a palette of {len(colors)} colors")
    return colors.astype(np.uint8)[array]


def _by_strip(page: tifffile.TiffPage, data: bytes) -> np.ndarray:
    """A page of whole samples whose strips or tiles are compressed by a codec of bytes."""
    assert page.dtype is not None
    height, width = page.imagelength, page.imagewidth
    separate = page.samplesperpixel > 1 and page.planarconfig == PLANARCONFIG.SEPARATE
    planes, samples = (page.samplesperpixel, 1) if separate else (1, page.samplesperpixel)
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
    rows = rows if page.is_tiled else min(rows, height)
    down, across = -(-height // rows), -(-width // columns)
    out = np.zeros((planes, height, width, samples), page.dtype)
    for index, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        plane, place = divmod(index, down * across)
        top, left = (place // across) * rows, (place % across) * columns
        length = rows if page.is_tiled else min(rows, height - top)
        if not count:  # a tile that was left out, as of satellite images
            out[plane, top : top + rows, left : left + columns] = page.nodata
            continue
        raw = _decompress(
            data[offset : offset + count], columns * samples * page.dtype.itemsize, length, page
        )
        block = _unpredict(raw, (length, columns, samples), page)
        target = out[plane, top : top + length, left : left + columns]
        target[:] = block[: target.shape[0], : target.shape[1]]
    return (out[:, :, :, 0] if separate else out[0]).reshape(page.shape)


def _decompress(strip: bytes, columns: int, rows: int, page: tifffile.TiffPage) -> np.ndarray:
    """Bytes uint8 `[rows, columns]` of one strip, by way of a file of 8-bit gray that has it alone."""
    tags = (
        (256, 4, columns), (257, 4, rows), (258, 3, 8), (259, 3, int(page.compression)), (262, 3, 1),
        (273, 4, 8), (277, 3, 1), (278, 4, rows), (279, 4, len(strip)),
    )  # fmt: skip
    body = struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHII", tag, kind, 1, v) for tag, kind, v in tags
    )
    padded = strip + bytes(len(strip) % 2)
    head = b"II*\0" + struct.pack("<I", 8 + len(padded))
    # The plugin itself, not Image.open: that refuses large images by a limit of its own.
    image = TiffImageFile(io.BytesIO(head + padded + body + bytes(4)))
    return np.asarray(image).reshape(rows, columns)


def _unpredict(raw: np.ndarray, shape: tuple[int, int, int], page: tifffile.TiffPage) -> np.ndarray:
    """Samples of a strip: what is stored may be differences along its rows."""
    assert page.dtype is not None
    rows, columns, samples = shape
    dtype = page.dtype.newbyteorder(page.parent.byteorder)
    if page.predictor == PREDICTOR.NONE:
        return raw.reshape(-1).view(dtype).reshape(shape)
    if page.predictor == PREDICTOR.HORIZONTAL:
        differences = raw.reshape(-1).view(dtype).reshape(shape).astype(dtype.newbyteorder("="))
        whole = differences.view(f"u{dtype.itemsize}")
        return np.add.accumulate(whole, axis=1, dtype=whole.dtype).view(differences.dtype)
    if page.predictor != PREDICTOR.FLOATINGPOINT:
        raise ValueError(f"predictor {page.predictor} is not known")
    # Differences of bytes, sample by sample; the bytes of a row's numbers lie apart, the highest first
    # (Adobe's TIFF Technical Note 3).
    apart = np.add.accumulate(raw.reshape(rows, -1, samples), axis=1, dtype=np.uint8).reshape(rows, -1)
    joined = apart.reshape(rows, dtype.itemsize, columns * samples).transpose(0, 2, 1)
    return np.ascontiguousarray(joined).view(dtype.newbyteorder(">")).reshape(shape)


def _kind(page: tifffile.TiffPage) -> str:
    compression = getattr(page.compression, "name", page.compression)
    return f"{compression} compression of {_photometric(page)} with {page.bitspersample} bits"


def _by_opencv(page: tifffile.TiffPage, data: bytes, path: Path) -> np.ndarray:
    """What needs libtiff's own conversion: JPEG inside, CMYK, YCbCr, odd bits."""
    if page.samplesperpixel > 4 or page.parent.pages.first.index != page.index:
        raise file_error(
            path,
            f"{_kind(page)}, in {page.samplesperpixel} samples or several pages, is not read; save it with "
            "deflate or without compression",
            ErrorCode.UNSUPPORTED,
        )
    stored = bytearray(data)
    if ORIENTATION in page.tags:
        # OpenCV turns some kinds and others not: images are turned elsewhere, all of them.
        at = page.tags[ORIENTATION].valueoffset
        stored[at : at + 2] = struct.pack(f"{page.parent.byteorder}H", 1)
    array = cv2.imdecode(np.frombuffer(bytes(stored), np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise file_error(
            path,
            f"{_kind(page)} cannot be decoded; save it with deflate or without compression",
            ErrorCode.UNSUPPORTED,
        )
    if page.photometric not in COMMON:
        array = array[..., 2::-1] if array.ndim == 3 else np.repeat(array[..., None], 3, -1)
    elif array.ndim == 3:
        array = array[..., [2, 1, 0, 3][: array.shape[2]]]
    if array.size == math.prod(page.shape):
        return np.ascontiguousarray(array).reshape(page.shape)
    if array.ndim == 2 and page.samplesperpixel == 2:
        return np.dstack([array, np.full_like(array, 2 ** (8 * array.itemsize) - 1)])
    if page.photometric not in COMMON:
        return np.ascontiguousarray(array)
    raise ValueError(f"decoded to {array.shape}, expected {page.shape}")
