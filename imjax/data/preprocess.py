"""From an original image to the packed size: whole, padded, as random square crops, or as a grid of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from imjax import rng
from imjax.config.schema import Data
from imjax.data import volume_box
from imjax.data.readers.base import slice_name
from imjax.data.spec import VOID

SIDES = (256, 512)
"""Smallest and largest side of a random crop in pixels of the original."""

Window = tuple[int, int, int]
"""Top row, left column and side of a square."""
Area = tuple[int, int, int, int]
"""Top row, left column, height and width of a part of an image."""


def iterate_slices(
    image: np.ndarray, label: np.ndarray, name: str, dims: int = 2
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """What a reader loads as pairs of `dims` axes: as it is or, of a stack of images, slice by slice.

    Args:
        image: uint8 `[h, w, c]` or, a stack or a volume, `[d, h, w, c]`; label: uint8 `[h, w]` or
            `[h, w, k]`, of a stack or volume with the same axis before these.
        name: of the image.
        dims: `DatasetSpec.dims`; 3: a volume stays whole.

    Yields:
        Name (of slices: `raw.slice_name`, counted from 0), image and label.
    """
    if image.ndim == dims + 1:
        yield name, image, label
    else:
        for i, pair in enumerate(zip(image, label, strict=True)):
            yield slice_name(name, i), *pair


def cut_crops(
    image: np.ndarray,
    label: np.ndarray,
    name: str,
    data: Data,
    label_resize: str = "nearest",
    image_resize: str = "area",
    oversized_crop: str = "square",
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pieces of one pair at `data.size` (Vorndran & Roeck 2024, data preparation).

    Args:
        image: uint8 `[h, w, c]`; label: uint8 `[h, w]` or `[h, w, k]`. Of a volume both have `d` first.
        name: name of the pair, unique in its dataset.
        label_resize: a key of `RESIZES`, see `DatasetSpec.label_resize`.
        image_resize: see `DatasetSpec.image_resize`.
        oversized_crop: see `DatasetSpec.oversized_crop`.

    Yields:
        Image and label of `data.size`: one whole pair, resized or padded as `data.resize_mode` says;
        `data.random_crops` random crops; or a grid of crops, which `data.tile_overlap` or the mode
        `crop` asks for, row by row. A volume fills `data.box`, see `boxes.fit`.
    """
    if image.ndim == 4:
        yield volume_box.pad_or_crop(image, label, data.box)
        return
    resize = RESIZES[label_resize]
    if not data.is_cropped:
        if data.resize_mode == "pad":
            yield pad_pair(image, label, data.size, label_resize, image_resize)
        else:
            yield resize_image(image, data.size, image_resize), resize(label, data.size)
        return
    shape = label.shape[:2]
    areas: Iterable[Area]
    if data.is_grid:
        areas = [(top, left, side, side) for top, left, side in _grid(shape, data)]
    else:
        areas = _random(shape, name, data, oversized_crop)
    for top, left, height, width in areas:
        area = np.s_[top : top + height, left : left + width]
        yield resize_image(image[area], data.size, image_resize), resize(label[area], data.size)


def count_crops(shape: tuple[int, int], data: Data) -> int:
    """How many pairs `cut_crops` makes of one of this height and width."""
    return len(_grid(shape, data)) if data.is_grid else max(data.random_crops, 1)


def _grid(shape: tuple[int, int], data: Data) -> list[Window]:
    return tile_corners(shape, data.tile_overlap, min(data.size), repeat=data.by_crop)


def pad_pair(
    image: np.ndarray,
    label: np.ndarray,
    size: tuple[int, int],
    label_resize: str = "nearest",
    image_resize: str = "area",
) -> tuple[np.ndarray, np.ndarray]:
    """Put a pair where `centered_placement` says; around it the image is mirrored and the label is VOID.

    A black border would be a border of the objects too, which a net learns; mirrored pixels are more of the
    same, and their pseudo-labels harm nothing.

    Args:
        image: uint8 `[h, w, c]`; label: uint8 `[h, w]` or `[h, w, k]`.
        size: height and width of the result.
        label_resize: a key of `RESIZES`.
        image_resize: see `resize_image`.
    """
    truth = RESIZES[label_resize](label, centered_placement(label.shape[:2], size)[2:])
    border = _border(label.shape[:2], size) + ((0, 0),) * (label.ndim - 2)
    return pad_image(image, size, image_resize), np.pad(truth, border, constant_values=VOID)


def pad_image(image: np.ndarray, size: tuple[int, int], how: str = "area") -> np.ndarray:
    """The image's part of `pad_pair`: uint8 `[h, w, c]` to `[*size, c]`, shrunk as `resize_image` says."""
    small = resize_image(image, centered_placement(image.shape[:2], size)[2:], how)
    return np.pad(small, (*_border(image.shape[:2], size), (0, 0)), mode="symmetric")


def _border(shape: tuple[int, int], size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows above and below, and columns left and right of what `centered_placement` says."""
    top, left, height, width = centered_placement(shape, size)
    return (top, size[0] - top - height), (left, size[1] - left - width)


def centered_placement(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top row, left column, height and width of an image of `shape` in the middle of `size`.

    It keeps its scale, which in microscopy is a length, and is shrunk only if it does not fit.
    """
    scale = min(1.0, size[0] / shape[0], size[1] / shape[1])
    height, width = (max(1, round(scale * length)) for length in shape)
    return (size[0] - height) // 2, (size[1] - width) // 2, height, width


def tile_corners(shape: tuple[int, int], overlap: float, side: int, repeat: bool = False) -> list[Window]:
    """A grid of squares that covers an image (Vorndran & Roeck 2024, HeLa).

    Sides are `side`, the packed size, so that nothing is resized (discs of cells keep their radius); in a
    smaller image they are the largest that fits, and the crop is enlarged.
    Where they begin: see `window_starts`, with `repeat` `repeated_starts`.
    """
    side = min(side, *shape)
    starts = repeated_starts if repeat else window_starts
    tops, lefts = (starts(length, side, overlap) for length in shape)
    return [(top, left, side) for top in tops for left in lefts]


def repeated_starts(length: int, side: int, overlap: float) -> list[int]:
    """The published grid along one axis: n = round(length / (side · (1 − overlap))) windows.

    Window i begins at ⌊i · length / n⌋. Those that would end beyond the axis are moved back, so that the last
    ones are the same: 520 × 696 pixels have 35 windows of 256 with an overlap of 0.6, of which 24 are
    distinct (methods.md 1.9).
    """
    count = max(round(length / (side * (1 - overlap))), 1)
    return [min(i * length // count, length - side) for i in range(count)]


def window_starts(length: int, side: int, overlap: float) -> list[int]:
    """Where windows along one axis begin: they cover it, and the last ends with it.

    Args:
        length: of the axis, in pixels or voxels.
        side: of the windows.
        overlap: share of its side that a window has in common with the next, 0 or more and less than 1. They
            begin round(side · (1 − overlap)) apart, at least 1; the last is closer to the one before.

    Raises:
        ValueError: a side longer than the axis.
    """
    if side > length:
        raise ValueError(f"starts: windows of {side} on an axis of {length}, expected at most {length}")
    step = max(round(side * (1 - overlap)), 1)
    return [*range(0, length - side, step), length - side]


def _random(shape: tuple[int, int], name: str, data: Data, oversized_crop: str) -> Iterator[Area]:
    """Squares with a side drawn uniformly from `SIDES`.

    Where the draw does not fit: the largest square that does or, with `oversized_crop` `whole`, the whole
    image. The draws depend on the name and the seed only, never on the other images.
    """
    draw = rng.numpy(data.split_seed, "crops", zlib.crc32(name.encode()))
    height, width = shape
    for _ in range(data.random_crops):
        drawn = int(draw.integers(SIDES[0], SIDES[1] + 1))
        side = min(drawn, height, width)
        top, left = int(draw.integers(height - side + 1)), int(draw.integers(width - side + 1))
        if drawn > side and oversized_crop == "whole":
            yield 0, 0, height, width
        else:
            yield top, left, side, side


def resize_image(image: np.ndarray, size: tuple[int, int], how: str = "area") -> np.ndarray:
    """uint8 `[h, w, c]` to `[*size, c]`: bilinear, `area` by area where that would skip pixels.

    `how` is a value of `DatasetSpec.image_resize`.
    """
    shrinks = image.shape[0] > size[0] and image.shape[1] > size[1]
    method = cv2.INTER_AREA if shrinks and how == "area" else cv2.INTER_LINEAR
    if image.shape[2] > 4:
        # OpenCV means areas of four channels at most.
        planes = np.moveaxis(image, -1, 0)
        return np.dstack(
            [cv2.resize(np.ascontiguousarray(p), size[::-1], interpolation=method) for p in planes]
        )
    return cv2.resize(image, size[::-1], interpolation=method).reshape(*size, image.shape[2])


def resize_label(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 `[h, w]` or `[h, w, k]` to `size` by nearest pixel: no value is ever mixed."""
    # Plain INTER_NEAREST samples at the corner of a pixel and so moves the label by half a pixel.
    resized = cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return resized.reshape(*size, *label.shape[2:])


def resize_label_at_corners(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`resize_label` by OpenCV's plain nearest rule, as published: row i of the result is row ⌊i·scale⌋."""
    resized = cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST)
    return resized.reshape(*size, *label.shape[2:])


def resize_binary(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 0/1 or VOID `[h, w]` to `size`: foreground where its bilinear mean exceeds one half.

    A border then runs where it ran, to a fraction of a pixel. VOID goes by the nearest pixel and is no
    foreground to its neighbors.
    """
    share = cv2.resize((label == 1).astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    void = resize_label(label, size) == VOID
    return np.where(void, np.uint8(VOID), (share > 0.5).astype(np.uint8))


RESIZES = {"nearest": resize_label, "corner": resize_label_at_corners, "bilinear": resize_binary}
