"""Images that stand for many others: which few masks teach most about what the nets do badly.

The worst image is often one of a kind. Its mask then helps that image alone, while an image that is nearly
as bad and looks like twenty others helps all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

LONGEST_SIDE = 1024
"""Pixels; larger images are described by a smaller copy, as the look does not need every pixel."""
PERCENTILES = (5, 25, 50, 75, 95, 99)
BLURS = (1, 2, 4, 8)
"""Standard deviations of Gaussian blurs in pixels: sizes of structures that are distinguished."""
NEIGHBORS = 5
"""Images whose mean distance is the unit in which looks are compared."""


def describe_look(image: np.ndarray) -> np.ndarray:
    """Statistics of brightness, color, texture and size, alike for images that look alike.

    Args:
        image: uint8 `[h, w, c]`.

    Returns:
        float32 `[2 c + 15]`: mean and standard deviation of each channel, percentiles of the mean channel,
        logarithms of its edges at four sizes, absolute and relative to its contrast, and of the image's size.
    """
    side = max(image.shape[:2])
    if side > LONGEST_SIDE:
        size = [max(1, round(n * LONGEST_SIDE / side)) for n in image.shape[1::-1]]
        # OpenCV drops the axis of a single channel.
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
    channels = image.astype(np.float32)
    gray = channels.mean(-1)
    contrast = gray.std() + 1
    edges = [np.abs(cv2.Laplacian(cv2.GaussianBlur(gray, (0, 0), blur), cv2.CV_32F)).mean() for blur in BLURS]
    return np.array(
        [
            *channels.mean((0, 1)),
            *channels.std((0, 1)),
            *np.percentile(gray, PERCENTILES),
            *(np.log1p(edge) for edge in edges),
            *(np.log1p(edge / contrast) for edge in edges),
            np.log(side),
        ],
        np.float32,
    )


def choose_covering(
    need: np.ndarray, looks: np.ndarray, known: Sequence[np.ndarray], count: int
) -> list[int]:
    """Choose images that cover those in need, again and again the one that adds most.

    Images i and j are similar by s(i, j) = exp(-(d / u)²), with d the root mean square difference of their
    standardized looks, and u the mean distance of an image's five nearest. What a choice adds is the sum over
    all images of their need times the growth of their largest similarity to an image that is known or chosen
    (the greedy solution of a facility location problem).

    Args:
        need: float `[n]`, at least 0: how bad each image is.
        looks: `[n, k]`, see `describe_look`.
        known: looks of images that are trained on already.
        count: how many to choose at most.

    Returns:
        Indices in the order of choice; of equal ones the first.
    """
    if not len(need):
        return []
    features = np.stack([*looks, *known]).astype(np.float32)
    features = (features - features.mean(0)) / (features.std(0) + 1e-6)
    distances = _measure_distances(features)
    # Entry 0 of a row is the image itself; a single image has no other.
    nearest = np.sort(distances, axis=1)[:, 1 : NEIGHBORS + 1]
    unit = max(float(nearest.mean()), 1e-6) if nearest.size else 1.0
    similar = np.exp(-((distances[: len(need)] / unit) ** 2))
    covered = similar[:, len(need) :].max(axis=1, initial=0.0)
    similar = similar[:, : len(need)]
    chosen: list[int] = []
    while len(chosen) < min(count, len(need)):
        gains = need @ np.maximum(similar - covered[:, None], 0)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        covered = np.maximum(covered, similar[:, chosen[-1]])
    return chosen


def _measure_distances(features: np.ndarray) -> np.ndarray:
    """Root mean square differences of the rows, `[n, n]`, without an array of n x n x k."""
    squares = (features**2).sum(-1)
    found = squares[:, None] + squares[None] - 2 * features @ features.T
    np.fill_diagonal(found, 0)
    return np.sqrt(np.maximum(found, 0) / features.shape[1])
