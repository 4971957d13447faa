"""Outlines of objects that can be seen on any image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from imjax.data.palette import BLACK, Color

WHITE: Color = (255, 255, 255)
CROSS = np.array(((0, 1, 0), (1, 1, 1), (0, 1, 0)), np.uint8)


def draw_outlines(
    image: np.ndarray, objects: Sequence[tuple[Color, np.ndarray]], width: int = 1
) -> np.ndarray:
    """Draw a line inside of each area, and another outside of all, black or white: one of the two is visible.

    Args:
        image: uint8 `[h, w, 3]` RGB.
        objects: color and bool area `[h, w]` of each class, later ones on top. The image's rim ends none.
        width: of each line, in pixels.

    Returns:
        uint8 `[h, w, 3]`.
    """
    out = image.copy()
    anything = np.any([area for _, area in objects], 0)
    for color, area in objects:
        around = cv2.dilate(area.astype(np.uint8), CROSS, iterations=width) == 1
        out[around & ~anything] = choose_rim(color)
    for color, area in objects:
        inner = cv2.erode(area.astype(np.uint8), CROSS, iterations=width) == 1
        out[area & ~inner] = color
    return out


def choose_rim(color: Color) -> Color:
    """Black or white, which is farther from a color."""
    red, green, blue = color
    return BLACK if 0.3 * red + 0.59 * green + 0.11 * blue > 90 else WHITE
