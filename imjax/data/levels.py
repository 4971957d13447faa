"""Grey levels of an image brought to one range, where how bright it is says nothing of what it shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imjax.data.options import DataOptions

PERCENTILES = (0.5, 99.5)
"""Of an image's values, what becomes black and white: single odd pixels decide nothing."""
UNLIKE = 0.75
"""Images differ in brightness if a tenth of them ends below this share of where another tenth begins to."""


def stretch(image: np.ndarray) -> np.ndarray:
    """Scale values so that their 0.5th percentile becomes 0 and their 99.5th 255, beyond them the same.

    All channels, and all slices of a volume, by one factor: what differs between them stays.

    Args:
        image: finite numbers of any type and shape.

    Returns:
        uint8 of that shape; of one value only 0, as nothing is brighter than anything.
    """
    values = image.astype(np.float32)
    low, high = limits(values)
    if low == high:
        low, high = values.min(), values.max()
    return np.clip(255 * (values - low) / max(high - low, 1e-9), 0, 255).round().astype(np.uint8)


def limits(image: np.ndarray) -> tuple[float, float]:
    """What becomes black and what white."""
    low, high = np.percentile(image, PERCENTILES)
    return float(low), float(high)


def as_packed(image: np.ndarray, label: np.ndarray, options: DataOptions) -> tuple[np.ndarray, np.ndarray]:
    """A pair as `raw.Reader.load` gives it, the image stretched where the options say so."""
    return (stretch(image) if options.stretch else image), label


def remarks(highs: Sequence[float], options: DataOptions) -> list[str]:
    """That images differ in brightness, if they do and nothing is done about it.

    Args:
        highs: of each image what would become white.
    """
    if options.stretch or not highs:
        return []
    dark, bright = np.percentile(highs, (10, 90))
    if dark >= UNLIKE * bright:
        return []
    return [
        f"the brightest pixels are {dark:.0f} or less in a tenth of the images, {bright:.0f} or more in "
        "another; where that is the light's or the camera's doing, --stretch (config.data.stretch=True) "
        "undoes it"
    ]
