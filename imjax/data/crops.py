"""From an original image to the packed size: whole, or as random square crops."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import cv2
import numpy as np

from imjax import rng
from imjax.data.options import DataOptions
from imjax.data.spec import VOID

SIDES = (256, 512)
"""Smallest and largest side of a crop in pixels of the original."""


def cut(
    image: np.ndarray, label: np.ndarray, name: str, options: DataOptions, label_resize: str = "nearest"
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pieces of one pair at `options.size` (Vorndran & Roeck 2024, data preparation).

    A crop is a square with a side drawn uniformly from `SIDES`, or the largest that fits where the draw does
    not. The draws depend on the name and the seed only, never on the other images.

    Args:
        image: uint8 `[h, w, c]`; label: uint8 `[h, w]` or `[h, w, k]`.
        name: name of the pair, unique in its dataset.
        label_resize: a key of `RESIZES`, see `DatasetSpec.label_resize`.

    Yields:
        Image and label of `options.size`; one whole pair, or `options.crops` crops.
    """
    resize = RESIZES[label_resize]
    if not options.crops:
        yield resize_image(image, options.size), resize(label, options.size)
    draw = rng.numpy(options.split_seed, "crops", zlib.crc32(name.encode()))
    height, width = label.shape[:2]
    for _ in range(options.crops):
        side = min(int(draw.integers(SIDES[0], SIDES[1] + 1)), height, width)
        top, left = draw.integers(height - side + 1), draw.integers(width - side + 1)
        area = np.s_[top : top + side, left : left + side]
        yield resize_image(image[area], options.size), resize(label[area], options.size)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 `[h, w, c]` to `[*size, c]`: bilinear, by area where that would skip pixels."""
    shrinks = image.shape[0] > size[0] and image.shape[1] > size[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=method).reshape(*size, image.shape[2])


def resize_label(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 `[h, w]` or `[h, w, k]` to `size` by nearest pixel: no value is ever mixed."""
    # Plain INTER_NEAREST samples at the corner of a pixel and so moves the label by half a pixel.
    resized = cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return resized.reshape(*size, *label.shape[2:])


def resize_binary(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 0/1 or VOID `[h, w]` to `size`: foreground where its bilinear mean exceeds one half.

    A border then runs where it ran, to a fraction of a pixel. VOID goes by the nearest pixel and is no
    foreground to its neighbours.
    """
    share = cv2.resize((label == 1).astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    void = resize_label(label, size) == VOID
    return np.where(void, np.uint8(VOID), (share > 0.5).astype(np.uint8))


RESIZES = {"nearest": resize_label, "bilinear": resize_binary}
