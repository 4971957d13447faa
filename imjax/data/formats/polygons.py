"""Outlines of masks along the edges of pixels, and masks of outlines: exact in both directions.

Coordinates are those of GeoJSON, COCO and Label Studio: x to the right, y down, the first pixel from 0 to 1,
so that an outline of a mask has whole numbers. A pixel is inside where its middle is. OpenCV's contours go
through the middles of the outer pixels instead, and lose half a pixel all around.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage
from skimage.draw import polygon2mask

Ring = np.ndarray
"""`[n, 2]` x and y of the corners, the first not repeated."""
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""x and y of a step east, south, west, north: each is a right turn after the one before."""


def trace_polygons(mask: np.ndarray) -> list[list[Ring]]:
    """Outlines of the true pixels of a bool mask.

    Returns:
        A polygon for each part (pixels that touch at a corner only are two): its outer ring, clockwise on the
        screen, and its holes, counter-clockwise. No ring passes a point twice; rings may touch at corners.
    """
    parts, _ = ndimage.label(mask)
    polygons = []
    for number, box in enumerate(ndimage.find_objects(parts), 1):
        corner = np.array([box[1].start, box[0].start])
        rings = [ring + corner for ring in _trace_rings(parts[box] == number)]
        polygons.append(sorted(rings, key=_doubled_area, reverse=True))
    return polygons


def fill_rings(rings: Sequence[Ring], size: tuple[int, int]) -> tuple[np.ndarray, int, int]:
    """Pixels of an image `[h, w]` whose middle lies in an odd number of rings, so that holes are left out.

    Returns:
        A bool mask, and the row and column of the image where it begins.
    """
    arrays = [np.asarray(ring, np.float64)[:, 1::-1] for ring in rings]
    corners = np.concatenate([*arrays, np.zeros((0, 2))])
    if not len(corners):
        return np.zeros((0, 0), bool), 0, 0
    first = np.clip(np.floor(corners.min(0)), 0, size).astype(int)
    last = np.clip(np.ceil(corners.max(0)), first, size).astype(int)
    mask = np.zeros(tuple(last - first), bool)
    for ring in arrays:
        # Rows and columns of middles are whole numbers to the library.
        mask ^= polygon2mask(mask.shape, ring - first - 0.5)
    return mask, int(first[0]), int(first[1])


def _trace_rings(part: np.ndarray) -> Iterator[Ring]:
    """Every ring of one part, whose pixels lie to the right of each step."""
    padded = np.pad(part, 1)
    # Where steps start, and in which directions: along the upper side of a pixel to the east, and so on.
    outgoing: dict[tuple[int, int], list[int]] = {}
    for direction, (across, shift) in enumerate((((-1, 0), (0, 0)), ((0, 1), (0, 1)), ((1, 0), (1, 1)),
                                                 ((0, -1), (1, 0)))):  # fmt: skip
        neighbor = np.roll(padded, (-across[0], -across[1]), (0, 1))
        for row, column in np.argwhere(padded & ~neighbor) - 1:
            outgoing.setdefault((int(column) + shift[1], int(row) + shift[0]), []).append(direction)
    while outgoing:
        start = next(iter(outgoing))
        yield from _split_at_corners(_walk(outgoing, start))


def _walk(outgoing: dict[tuple[int, int], list[int]], start: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Corners of a closed walk, which takes its steps out of `outgoing`."""
    at, before = start, -1
    while at in outgoing:
        choices = outgoing[at]
        # Where two pixels touch at a corner there are two ways on: to the right is around the same pixel.
        right = (before + 1) % 4
        step = right if before >= 0 and right in choices else choices[0]
        choices.remove(step)
        if not choices:
            del outgoing[at]
        if step != before:
            yield at
        at, before = (at[0] + STEPS[step][0], at[1] + STEPS[step][1]), step


def _split_at_corners(walk: Iterator[tuple[int, int]]) -> Iterator[Ring]:
    """Rings that pass no point twice, of a walk that may."""
    path: list[tuple[int, int]] = []
    places: dict[tuple[int, int], int] = {}
    for corner in walk:
        if corner in places:
            first = places[corner]
            yield _without_straight_corners(path[first:])
            for passed in path[first:]:
                del places[passed]
            del path[first:]
        places[corner] = len(path)
        path.append(corner)
    yield _without_straight_corners(path)


def _without_straight_corners(ring: Sequence[tuple[int, int]]) -> Ring:
    """The walk starts anywhere, maybe in the middle of a side."""
    corners = np.array(ring)
    before, after = np.roll(corners, 1, 0), np.roll(corners, -1, 0)
    straight = ((before == corners) & (corners == after)).any(1)
    return corners[~straight]


def _doubled_area(ring: Ring) -> int:
    x, y = ring.T
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
