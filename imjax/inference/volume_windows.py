"""Windows of volumes that no net sees whole, and from what nets predict for them back to the volume.

The windows' probabilities are averaged where they overlap, as in the benchmark of the left atrium (UA-MT, Yu
et al. 2019, arXiv 1907.07034).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from imjax.data.preprocess import window_starts

Place = tuple[slice, ...]
"""Of a window in a volume."""


def window_places(shape: tuple[int, ...], sides: tuple[int, ...], overlap: float) -> list[Place]:
    """The windows that cover a volume.

    Args:
        shape: depth, height and width of the volume, each at least the window's.
        sides: those of a window.
        overlap: share of its side that a window has in common with the next, along each axis.
    """
    axes = [window_starts(length, side, overlap) for length, side in zip(shape, sides, strict=True)]
    return [
        tuple(slice(start, start + side) for start, side in zip(corner, sides, strict=True))
        for corner in itertools.product(*axes)
    ]


def stitch(
    shape: tuple[int, ...], places: list[Place], windows: Iterator[Float32[np.ndarray, "m *window k"]]
) -> Float32[np.ndarray, "m d h w k"]:
    """Mean of the windows' probabilities at each voxel.

    Args:
        shape: of the volume.
        places: of the windows; together they cover it.
        windows: what each member predicts for each window, in that order; no more are taken.
    """
    count, total = np.zeros((*shape, 1), np.float32), None
    for place, window in zip(places, windows, strict=False):
        if total is None:
            total = np.zeros((len(window), *shape, window.shape[-1]), np.float32)
        total[(slice(None), *place)] += window
        count[place] += 1
    assert total is not None, "no window"
    return total / count
