"""Cells in three maps (alive, dead, position): their marks, drawing them anew, and counting them.

Definitions: methods.md 1.9 and 1.10, after Vorndran & Roeck 2024 (arXiv 2401.14387). On the host, by OpenCV.
Maps are uint8, 1 where something is; a set of this kind says so by `DatasetSpec.counts_cells`.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from imjax.data.spec import VOID

CLASSES = ("alive", "dead", "position")
"""What the three channels of a label are."""
ALIVE, DEAD, POSITION = range(3)
RADII = (3, 8)
"""Smallest and largest radius of a redrawn mark in pixels."""
WINDOW = 6
"""Side of the square around a cell's center that decides between alive and dead."""


def find_marks(position: UInt8[np.ndarray, "h w"], *, erode: bool) -> Float64[np.ndarray, "m 2"]:
    """Centroids (row, column) of the marks, the 8-connected components of the pixels that are 1.

    Args:
        position: the map.
        erode: shrink by a 3×3 square first, so that specks vanish and marks that touch come apart. What lies
            outside the image takes nothing off a mark at its border. Centroids are then those of the polygon
            through the outer pixels' middles, and what has no area, a point or a line, is no mark.
    """
    pixels = (position == 1).astype(np.uint8)
    if not erode:
        _, _, _, centers = cv2.connectedComponentsWithStats(pixels, connectivity=8)
        return np.ascontiguousarray(centers[1:, ::-1])
    pixels = cv2.erode(pixels, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # As published: moments of the contours, so that the remains of a speck of 3×3 pixels are no cell.
    moments = [m for m in map(cv2.moments, contours) if m["m00"] > 0]
    centers = [(m["m01"] / m["m00"], m["m10"] / m["m00"]) for m in moments]
    return np.array(centers, np.float64).reshape(-1, 2)


def draw_discs(
    centers: Float64[np.ndarray, "m 2"], shape: tuple[int, int], sole: int = RADII[1]
) -> UInt8[np.ndarray, "h w"]:
    """`mod_position` (methods.md 1.9): a filled disc per mark, small where marks are close to each other.

    The radius is min(8, max(3, ⌊distance to the nearest other mark / 4⌋)), of a sole mark `sole`, with
    distances between centroids; the middle is the pixel nearest to the centroid.
    """
    out = np.zeros(shape, np.uint8)
    for center in centers:
        row, column = (int(v) for v in np.floor(center + 0.5))
        radius = _disc_radius(center, centers) if len(centers) > 1 else sole
        cv2.circle(out, (column, row), radius, 1, thickness=cv2.FILLED)
    return out


def redraw_positions(labels: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Predicted labels with the position map drawn anew by `draw_discs`, to compare with a truth drawn so.

    Marks are taken after the erosion of `find_marks`, as for counting: a net leaves specks that a
    truth has not.
    A sole mark gets the smallest radius, as in the published evaluation (methods.md 1.10).
    """
    out = labels.copy()
    for label in out:
        centers = find_marks(label[..., POSITION], erode=True)
        label[..., POSITION] = draw_discs(centers, label.shape[:2], sole=RADII[0])
    return out


def count_cells(label: UInt8[np.ndarray, "h w 3"]) -> tuple[int, int]:
    """Numbers of cells alive and dead.

    A cell is a mark of the eroded position map. It is what has more pixels in a window of 6×6 around its
    centroid (y, x), and neither where both have as many: rows ⌊y⌋ − 2 to ⌊y⌋ + 3, columns alike, which is the
    window whose middle is nearest to the centroid. At a border the whole window is moved inwards; an image
    with fewer than 6 rows or columns is taken whole in that direction.
    """
    numbers = [0, 0]
    for center in find_marks(label[..., POSITION], erode=True):
        room = np.maximum(np.array(label.shape[:2]) - WINDOW, 0)
        top, left = np.clip(np.floor(center).astype(int) - (WINDOW // 2 - 1), 0, room)
        near = label[top : top + WINDOW, left : left + WINDOW] == 1
        alive, dead = near[..., ALIVE].sum(), near[..., DEAD].sum()
        if alive != dead:
            numbers[ALIVE if alive > dead else DEAD] += 1
    return numbers[ALIVE], numbers[DEAD]


def cell_count_error(
    *, truth: UInt8[np.ndarray, "n h w 3"], prediction: UInt8[np.ndarray, "n h w 3"]
) -> float:
    """`mcce`: mean over images of |Δ alive| + |Δ dead| (methods.md 1.10).

    Void pixels count in neither; images that are void throughout are left out. nan if none is left.
    """
    errors = []
    for true, predicted in zip(truth, prediction, strict=True):
        void = true == VOID
        if not void.all():
            pairs = zip(count_cells(true), count_cells(np.where(void, np.uint8(0), predicted)), strict=True)
            errors.append(sum(abs(a - b) for a, b in pairs))
    return float(np.mean(errors)) if errors else float("nan")


def _disc_radius(center: np.ndarray, centers: Float64[np.ndarray, "m 2"]) -> int:
    # The nearest of all is the mark itself.
    nearest = np.partition(np.hypot(*(centers - center).T), 1)[1]
    return int(np.clip(nearest // 4, *RADII))
