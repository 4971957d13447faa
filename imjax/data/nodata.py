"""Pixels without data: which ones they are, what fills them, and values that look like a mark of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from imjax.data.intensity import PERCENTILES
from imjax.data.spec import VOID

USUAL = (-9999.0, -99999.0, -999.0, -32768.0, -2147483648.0, float(np.float32(-3.4028235e38)), 1e20, 65535.0)
"""Values that programs write where a satellite, a scanner or a terrain model has no data."""
FAR, FAR_OF_USUAL = 20, 1
"""How many ranges of the other values lie between them and what is taken for a mark, `USUAL` or not."""
LEAST_SHARE = PERCENTILES[0] / 100
"""Share of the pixels; fewer do not matter to the scaling by percentiles."""


class Suspect(NamedTuple):
    """A value far from all others, in many pixels."""

    value: float
    share: float
    """Of the pixels."""
    low: float
    high: float
    """Of the other values."""


def find_void(pixels: np.ndarray, value: float | None) -> np.ndarray:
    """Pixels without data, bool `[..., h, w]` of `[..., h, w, c]`.

    NaN in any channel; and `value`: of 8-bit images where all channels have it, as black and white are
    colors, of deeper ones where any has.
    """
    void = np.zeros(pixels.shape[:-1], bool)
    if pixels.dtype.kind == "f":
        void |= np.isnan(pixels).any(-1)
    if value is not None and not math.isnan(value):
        # A value that the type cannot hold is in no pixel; a real number is compared as the file rounds it.
        marked = pixels == (pixels.dtype.type(value) if pixels.dtype.kind == "f" else value)
        void |= marked.all(-1) if pixels.dtype == np.uint8 else marked.any(-1)
    return void


def fill_void(pixels: np.ndarray, void: np.ndarray) -> np.ndarray:
    """`[..., h, w, c]` with the median of each channel's other pixels where there are no data.

    Black or white would be an object's border to a net.
    """
    if not void.any():
        return pixels
    filled = pixels.copy()
    for channel in range(pixels.shape[-1]):
        # Of an even number the lower of the two in the middle, a value that the type has.
        filled[void, channel] = np.quantile(pixels[~void, channel], 0.5, method="lower")
    return filled


def mark_void(label: np.ndarray, void: np.ndarray) -> np.ndarray:
    """The label with VOID where its image has no data, of multilabel in all planes; a copy if it changes."""
    if not void.any():
        return label
    marked = label.copy()
    marked[void] = VOID
    return marked


def find_suspect(values: np.ndarray) -> Suspect | None:
    """The smallest or largest of an image's values, if it looks like a mark and not like a measurement.

    Args:
        values: numbers of one channel, any shape, without NaN.
    """
    if values.size < 16:
        return None
    found, counts = np.unique(values, return_counts=True)
    for value, count, others in ((found[0], counts[0], found[1:]), (found[-1], counts[-1], found[:-1])):
        if len(others) < 2 or count / values.size < LEAST_SHARE:
            continue
        low, high = float(others[0]), float(others[-1])
        gap = low - float(value) if value < others[0] else float(value) - high
        far = FAR_OF_USUAL if float(value) in USUAL else FAR
        if gap > far * (high - low):
            return Suspect(float(value), count / values.size, low, high)
    return None
