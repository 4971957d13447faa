"""Synthetic volumes: bright ellipsoids in noise, of which the largest is the object."""

from __future__ import annotations

import numpy as np

DEPTH = 24
"""Slices of a volume."""
LEVELS = 60
"""Values that an intensity may have, as few as in volumes of 8 bits."""


def draw_volume(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """One volume.

    Args:
        rng: makes everything.
        size: height and width.

    Returns:
        Image float32 `[d, h, w]` of zero mean and unit variance, and label uint8 `[d, h, w]`: 1 in a bright
        ellipsoid near the middle with half axes of a fifth to a third of the volume's sides. Two smaller ones
        beside it are as bright and belong to the background: the place and the size tell them apart.
    """
    sides = np.array((DEPTH, *size), np.float32)
    # Half axes first, as shares of the sides; the distractors keep to the corners.
    middle = rng.uniform(0.42, 0.58, 3)
    label = _inside(sides, middle, rng.uniform(0.2, 0.33, 3))
    bright = label.copy()
    for corner in rng.permutation(4)[:2]:
        place = np.array((0.5, *(np.array(divmod(corner, 2)) * 0.8 + 0.1)))
        bright |= _inside(sides, place, rng.uniform(0.06, 0.1, 3))
    image = 2.0 * bright + rng.normal(0, 0.5, label.shape)
    image = np.clip(np.round((image + 0.8) * LEVELS / 5), 0, LEVELS - 1)
    return ((image - image.mean()) / image.std()).astype(np.float32), label.astype(np.uint8)


def _inside(sides: np.ndarray, middle: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Bool `[d, h, w]`, True in an ellipsoid; its middle and half axes are shares of the sides."""
    grid = np.indices(sides.astype(int).tolist()).astype(np.float32) + 0.5
    shares = (grid / sides[:, None, None, None] - middle[:, None, None, None]) / half[:, None, None, None]
    return np.square(shares).sum(0) < 1
