"""A contact sheet: every sample as a thumbnail, beside itself with its label painted on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from imjax.data.preprocess import centered_placement, resize_image, resize_label
from imjax.data.spec import VOID, DatasetSpec
from imjax.errors import ErrorCode, UserError

SIDE = 160
"""Height and width of a thumbnail in pixels."""
CAPTION, GAP, COLUMNS = 18, 8, 4
PAPER, INK, VOID_COLOR = (250, 250, 250), (20, 20, 20), (255, 255, 255)
STRENGTH = 0.55
"""Share of the color where a label is painted on."""


def draw_overlay(image: np.ndarray, label: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    """Paint a label on its image in the dataset's colors; VOID is white.

    Binary and multilabel: what is of no label stays as it is.

    Args:
        image: uint8 `[h, w, 3]` RGB; label: uint8 `[h, w]`, or multilabel `[h, w, k]`, later ones on top.

    Returns:
        uint8 `[h, w, 3]`.
    """
    color, where = np.zeros(image.shape, np.float32), np.zeros(image.shape[:2], bool)
    planes = label[..., None] if label.ndim == 2 else label
    for plane in np.moveaxis(planes, -1, 0):
        color[plane == VOID] = VOID_COLOR
        where |= plane == VOID
    for number, rgb in enumerate(spec.palette):
        class_pixels = label == number if spec.kind == "multiclass" else planes[..., number] == 1
        color[class_pixels] = rgb
        where |= class_pixels
    mixed = (1 - STRENGTH) * image + STRENGTH * color
    return np.where(where[..., None], mixed.round(), image).astype(np.uint8)


def make_thumbnail(image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 `[h, w, 3]` and label, shrunk alike so that the longer side is at most `SIDE`."""
    size = centered_placement(image.shape[:2], (SIDE, SIDE))[2:]
    return resize_image(image, size), resize_label(label, size)


def arrange_tiles(title: str, image: np.ndarray, label: np.ndarray, spec: DatasetSpec | None) -> np.ndarray:
    """One sample: its title above the image and, where there is a label and a spec, the overlay.

    Args:
        image, label: of `make_thumbnail`.

    Returns:
        uint8 `[CAPTION + SIDE, 2 * SIDE, 3]` RGB.
    """
    canvas = np.full((CAPTION + SIDE, 2 * SIDE, 3), PAPER, np.uint8)
    _place(canvas, image, 0)
    if spec is not None and (label != VOID).any():
        _place(canvas, draw_overlay(image, label, spec), SIDE)
    else:
        _write(canvas, "no mask", SIDE + 50, CAPTION + SIDE // 2)
    _write(canvas, title if len(title) <= 44 else title[:41] + "...", 2, CAPTION - 6)
    return canvas


def save_contact_sheet(tiles: Sequence[np.ndarray], path: Path) -> None:
    """Write tiles row by row as a PNG.

    Raises:
        UserError: the file cannot be written.
    """
    height, width = (length + GAP for length in tiles[0].shape[:2])
    rows = -(-len(tiles) // COLUMNS)
    page = np.full((rows * height + GAP, min(COLUMNS, len(tiles)) * width + GAP, 3), PAPER, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = GAP + i // COLUMNS * height, GAP + i % COLUMNS * width
        page[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    _, data = cv2.imencode(".png", page[..., ::-1])
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise UserError(
            f"--sheet={path}: cannot be written: {error.strerror}; name another file",
            code=ErrorCode.UNWRITABLE,
            field="--sheet",
        ) from error


def _place(canvas: np.ndarray, image: np.ndarray, left: int) -> None:
    top, offset, height, width = centered_placement(image.shape[:2], (SIDE, SIDE))
    left += offset
    canvas[CAPTION + top : CAPTION + top + height, left : left + width] = image


def _write(canvas: np.ndarray, text: str, left: int, base: int) -> None:
    cv2.putText(canvas, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)
