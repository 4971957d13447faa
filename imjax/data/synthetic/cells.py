"""Procedural scenes of cells in gray: what a microscope would show of HeLa, simple enough for a small net.

A cell alive is a flat grainy ellipse somewhat darker than its surroundings, a dead one a small bright disc
with a dark rim. Light is uneven, and specks of debris are as bright as the dead.
"""

from __future__ import annotations

import cv2
import numpy as np

DOT = 2
"""Radius of a position mark in pixels."""
PIXELS_PER_TRY = 500
"""Area of the image per attempt to place a cell; cells that would touch another are not placed."""


def draw_cells(draw: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """One scene: image uint8 `[h, w]`, label uint8 `[h, w, 3]` 0/1: alive, dead, dots at the centers."""
    image = 128 + 14 * _noise(draw, size, cells=3)
    label = np.zeros((*size, 3), np.uint8)
    for row, column, radius, dead in _places(draw, size):
        where = np.zeros(size, np.uint8)
        flat = 1.0 if dead else draw.uniform(0.65, 0.95)
        axes = (round(radius), round(radius * flat))
        cv2.ellipse(where, (column, row), axes, draw.uniform(0, 180), 0, 360, 1, cv2.FILLED)
        image = _paint_dead(draw, image, where) if dead else _paint_alive(draw, image, where)
        label[..., int(dead)] |= where
        dot = np.zeros_like(where)
        cv2.circle(dot, (column, row), DOT, 1, cv2.FILLED)
        label[..., 2] |= dot
    for _ in range(size[0] * size[1] // 6000):
        row, column = (int(draw.integers(side)) for side in size)
        image = cv2.circle(image, (column, row), int(draw.integers(1, 3)), 210.0, cv2.FILLED)
    blurred = cv2.GaussianBlur(image, (0, 0), 0.7) + draw.normal(0, 4, size)
    return np.clip(blurred, 0, 255).astype(np.uint8), label


def _places(draw: np.random.Generator, size: tuple[int, int]) -> list[tuple[int, int, float, bool]]:
    """Cells that do not touch: row, column, radius, dead."""
    placed: list[tuple[int, int, float, bool]] = []
    for _ in range(max(size[0] * size[1] // PIXELS_PER_TRY, 1)):
        dead = bool(draw.random() < 0.4)
        radius = draw.uniform(5, 7.5) if dead else draw.uniform(9, 13)
        row, column = (int(draw.integers(side)) for side in size)
        if all(np.hypot(row - r, column - c) > radius + other_radius + 2 for r, c, other_radius, _ in placed):
            placed.append((row, column, radius, dead))
    return placed


def _paint_alive(draw: np.random.Generator, image: np.ndarray, where: np.ndarray) -> np.ndarray:
    grain = cv2.GaussianBlur(draw.normal(0, 1, image.shape), (0, 0), 1.0) * 55
    return np.where(where, image - draw.uniform(10, 22) + grain, image)


def _paint_dead(draw: np.random.Generator, image: np.ndarray, where: np.ndarray) -> np.ndarray:
    rim = where - cv2.erode(where, np.ones((3, 3), np.uint8))
    return np.where(rim, image - 45, np.where(where, image + draw.uniform(40, 65), image))


def _noise(draw: np.random.Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """Smooth noise of unit variance at its nodes, `[h, w]`."""
    return cv2.resize(draw.standard_normal((cells, cells)), size[::-1], interpolation=cv2.INTER_CUBIC)
