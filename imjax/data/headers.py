"""Size of an image from the head of its file, before a decoder takes memory for it."""

from __future__ import annotations

import struct

PLENTY = 2**28
"""Pixels (16384 x 16384, 0.8 GB of RGB) from which a file must be large, too."""
MOST = 2**30
"""Pixels that OpenCV decodes at most."""
RATIO = 200
"""Pixels per byte of the file that no photo has; of one value everywhere, a PNG has a thousand."""

Size = tuple[int, int]
"""Width and height."""


def oversized(data: bytes) -> str:
    """Why an image file is not to be decoded; empty if nothing is against it, or the format is another.

    Args:
        data: PNG, JPEG, BMP or TIFF, all of it.
    """
    found = size(data)
    if found is None:
        return ""
    width, height = found
    if width * height > MOST:
        return f"{width}x{height} (w x h) pixels, expected at most {MOST} in all; cut it into pieces"
    if width * height > PLENTY and width * height > RATIO * len(data):
        return f"{width}x{height} (w x h) pixels in {len(data)} bytes, expected an image; remove it"
    return ""


def size(data: bytes) -> Size | None:
    """Size as the file's head has it; None of other formats and of damaged files."""
    try:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return struct.unpack_from(">II", data, 16)
        if data[:2] == b"BM":
            width, height = struct.unpack_from("<ii", data, 18)
            return abs(width), abs(height)
        if data[:2] == b"\xff\xd8":
            return _of_jpeg(data)
        if data[:2] in (b"II", b"MM"):
            return _of_tiff(data)
    except (struct.error, ValueError):
        # Cut, or no image: the decoder has its own line for that.
        pass
    return None


def _of_jpeg(data: bytes) -> Size | None:
    """The frame's head is behind other segments, each with its length."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            # Filling.
            at += 1
            continue
        # 0xC4, 0xC8 and 0xCC are tables among the heads of frames.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _of_tiff(data: bytes) -> Size | None:
    """Tags 256 and 257 of the first page, of TIFF or BigTIFF."""
    order = "<" if data[:2] == b"II" else ">"
    version = struct.unpack_from(order + "H", data, 2)[0]
    if version == 43:
        (start,), count, first, step, value = struct.unpack_from(order + "Q", data, 8), "Q", 8, 20, 12
    elif version == 42:
        (start,), count, first, step, value = struct.unpack_from(order + "I", data, 4), "H", 2, 12, 8
    else:
        return None
    kinds, found = {1: "B", 3: "H", 4: "I", 16: "Q"}, {}
    for i in range(struct.unpack_from(order + count, data, start)[0]):
        at = start + first + i * step
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag in (256, 257) and kind in kinds:
            found[tag] = struct.unpack_from(order + kinds[kind], data, at + value)[0]
        if tag > 257:
            # They are sorted.
            break
    return (found[256], found[257]) if len(found) == 2 else None
