"""Image files of many kinds, written for the tests by libraries and, what these cannot write, by hand."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image

ORIENTATION, GDAL_NODATA = 274, 42113
TAG_TYPES = {"<u2": 3, "<u4": 4, "ascii": 2}


def noise(*shape: int, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """Random values of a type, of the whole range of 8 or 16 bits, else 0 to 1000."""
    draw = np.random.default_rng(seed)
    if dtype in ("uint8", "uint16", "int16", "int8"):
        limits = np.iinfo(dtype)
        return draw.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return draw.integers(0, 1000, shape).astype(dtype)


def put(path: Path, data: bytes) -> Path:
    """Write a file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def tiff(path: Path, array: np.ndarray, **options) -> Path:
    """A TIFF by tifffile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, **options)
    return path


def contiguous(path: Path, array: np.ndarray, **options) -> Path:
    """A TIFF of any number of channels `[h, w, c]` in one page, none of them alpha."""
    if array.shape[-1] == 1:
        return tiff(path, array[..., 0], photometric="minisblack", **options)
    return tiff(path, array, photometric="minisblack", planarconfig="contig", **options)


def pillow(path: Path, array: np.ndarray, orientation: int = 1, **options) -> Path:
    """A file by Pillow, with an EXIF orientation where that is not 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if orientation != 1:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options["exif"] = exif
    Image.fromarray(array).save(path, **options)
    return path


def opencv(path: Path, array: np.ndarray) -> Path:
    """A file by OpenCV of gray, RGB or RGBA."""
    stored = array[..., [2, 1, 0, *range(3, array.shape[2])]] if array.ndim == 3 else array
    return put(path, cv2.imencode(path.suffix, stored)[1].tobytes())


def frames(path: Path, arrays: list[np.ndarray], **options) -> Path:
    """Several pictures in one file, by Pillow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = [Image.fromarray(array) for array in arrays]
    first.save(path, save_all=True, append_images=others, **options)
    return path


def compressed_tiff(path: Path, array: np.ndarray, codec: str, predictor: int = 1, rows: int = 0) -> Path:
    """A TIFF `[h, w, c]` in strips of a codec of Pillow's, which writes no more than four channels itself."""
    height, width, channels = array.shape
    rows, kind = rows or height, array.dtype.newbyteorder("<")
    values = array.astype(kind)
    if predictor == 2:
        unsigned = values.view(f"u{values.itemsize}")
        values = np.diff(unsigned, axis=1, prepend=np.zeros_like(unsigned[:, :1]))
    strips, compression = [], 1
    for top in range(0, height, rows):
        part = np.ascontiguousarray(values[top : top + rows])
        if predictor == 3:
            apart = (
                part.astype(part.dtype.newbyteorder(">")).view(np.uint8).reshape(len(part), -1, kind.itemsize)
            )
            flat = apart.transpose(0, 2, 1).reshape(len(part), -1, channels)
            part = np.diff(flat, axis=1, prepend=np.zeros_like(flat[:, :1]))
        plain = io.BytesIO()
        Image.fromarray(part.view(np.uint8).reshape(len(part), -1)).save(
            plain, "TIFF", compression=codec, strip_size=2**30
        )
        data = plain.getvalue()
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            assert len(page.dataoffsets) == 1
            compression = int(page.compression)
            strips.append(data[page.dataoffsets[0] :][: page.databytecounts[0]])
    return put(path, _container(strips, array, compression, predictor, rows))


def _container(strips: list[bytes], array: np.ndarray, compression: int, predictor: int, rows: int) -> bytes:
    height, width, channels = array.shape
    starts = 8 + np.cumsum([0, *(len(strip) for strip in strips)])
    format = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    tags: list[tuple[int, str, list[int]]] = [
        (256, "<u4", [width]), (257, "<u4", [height]), (258, "<u2", [8 * array.itemsize] * channels),
        (259, "<u2", [compression]), (262, "<u2", [1]), (273, "<u4", starts[:-1].tolist()),
        (277, "<u2", [channels]), (278, "<u4", [rows]), (279, "<u4", [len(strip) for strip in strips]),
        (284, "<u2", [1]), (317, "<u2", [predictor]), (338, "<u2", [0] * (channels - 1)),
        (339, "<u2", [format] * channels),
    ]  # fmt: skip
    tags = [tag for tag in tags if tag[2]]
    body, extra = b"", b""
    at = int(starts[-1]) + 2 + 12 * len(tags) + 4
    for tag, kind, values in tags:
        data = np.array(values, kind).tobytes()
        body += struct.pack("<HHI", tag, TAG_TYPES[kind], len(values))
        body += data.ljust(4, b"\0") if len(data) <= 4 else struct.pack("<I", at + len(extra))
        extra += data if len(data) > 4 else b""
    head = b"II*\0" + struct.pack("<I", int(starts[-1]))
    return head + b"".join(strips) + struct.pack("<H", len(tags)) + body + bytes(4) + extra
