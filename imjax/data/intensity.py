"""Gray levels of an image brought to one range, where how bright it is says nothing of what it shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PERCENTILES = (0.5, 99.5)
"""Of an image's values, what becomes black and white: single odd pixels decide nothing."""
UNLIKE = 0.75
"""Images differ in brightness if the 10th percentile of their whites is below this share of the 90th."""


def percentile_normalize(image: np.ndarray) -> np.ndarray:
    """Scale values so that their 0.5th percentile becomes 0 and their 99.5th 255, beyond them the same.

    All channels, and all slices of a 3-D volume, by one factor: what differs between them stays. What is
    brighter than 99.5 % of an image becomes white, however much, and an image of noise is stretched like
    any other.

    Args:
        image: finite numbers of any type and shape.

    Returns:
        uint8 of that shape; of one value only 0, as nothing is brighter than anything.
    """
    values = np.asarray(image, np.float32)
    low, high = percentile_limits(values)
    if low == high:
        low, high = float(values.min()), float(values.max())
    return scale_to_bytes(values, low, high)


def scale_to_bytes(values: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """`low` becomes 0 and `high` 255, and what is beyond them the same: uint8 of the shape of `values`.

    Args:
        values: float32.
        low, high: numbers, or float32 arrays of one per channel, the last axis.
    """
    span = np.asarray(np.maximum(high - low, 1e-9), np.float32)
    return np.clip(255 * (values - low) / span, 0, 255).round().astype(np.uint8)


def percentile_limits(image: np.ndarray) -> tuple[float, float]:
    """What becomes black and what white, in the image's own units."""
    low, high = np.percentile(image, PERCENTILES)
    return float(low), float(high)


def brightness_warnings(highs: Sequence[float]) -> list[str]:
    """That images differ in brightness, if they do.

    Args:
        highs: of each image what would become white, in gray levels of 0..255.
    """
    dark, bright = np.percentile(highs, (10, 90)) if highs else (0, 0)
    if dark >= UNLIKE * bright:
        return []
    return [
        f"the brightest pixels are about {dark:.0f} in the darkest images and {bright:.0f} in the brightest; "
        "where that is the light's or the camera's doing, --percentile_normalize "
        "(config.data.percentile_normalize=True) undoes it"
    ]
