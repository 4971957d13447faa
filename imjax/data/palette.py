"""Colors of classes where a dataset gives none: the color-blind tell them apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from imjax.data.spec import VOID, DatasetSpec

Color = tuple[int, int, int]
"""RGB, 0..255."""
BLACK: Color = (0, 0, 0)

OBJECTS: tuple[Color, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
    (204, 121, 167),
)  # fmt: skip
"""Of Okabe & Ito 2008, "Color Universal Design"."""
BACKGROUND: Color = (70, 70, 70)
"""Of class 0 where that is what is no object."""
VOID_COLORS: tuple[Color, ...] = ((255, 255, 255), (128, 128, 128), (255, 0, 255), (0, 255, 255))
"""Of void: the first that no class of the dataset has."""
LEAST_DISTANCE = 50
"""Between void's color and those of the classes, in the largest difference of a channel."""


def object_colors(count: int) -> tuple[Color, ...]:
    """Colors of as many objects: `OBJECTS`, then darker and darker ones of the same hue."""
    return tuple(
        (round(r * 0.7 ** (i // 7)), round(g * 0.7 ** (i // 7)), round(b * 0.7 ** (i // 7)))
        for i, (r, g, b) in ((i, OBJECTS[i % 7]) for i in range(count))
    )


SHOWN = ("red", "green", "blue")
"""Names of the channels that a picture of many is painted with."""


def choose_void_color(palette: Iterable[Color]) -> Color:
    """A color for void that differs from black and from the classes' colors."""
    taken = np.array([BLACK, *palette])
    return max(VOID_COLORS, key=lambda color: min(LEAST_DISTANCE, np.abs(taken - color).max(1).min()))


def index_palette(colors: Sequence[Color]) -> np.ndarray:
    """Palette of a PNG of class indices, uint8 `[256, 3]`: a color per class, and one for `VOID`."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)] = colors
    table[VOID] = choose_void_color(colors)
    return table


def paint_labels(spec: DatasetSpec, labels: np.ndarray) -> np.ndarray:
    """Labels → uint8 RGB `[..., h, w, 3]` in the dataset's colors, void in `choose_void_color`.

    Multilabel channels are painted over one another in their order.
    """
    if spec.kind == "multiclass":
        return index_palette(spec.palette)[labels]
    channels = labels[..., None] if spec.kind == "binary" else labels
    out = np.zeros((*channels.shape[:-1], 3), np.uint8)
    out[(channels == VOID).all(-1)] = choose_void_color(spec.palette)
    for channel, rgb in enumerate(spec.palette):
        out[channels[..., channel] == 1] = rgb
    return out


def to_rgb(images: np.ndarray, names: tuple[str, ...] = ()) -> np.ndarray:
    """uint8 `[..., c]` of any number of channels → `[..., 3]` for the eye.

    Gray is repeated. Of more channels those named red, green and blue are shown, or else the first three; of
    two the first is red and the second green.
    """
    channels = images.shape[-1]
    if channels == 1:
        return np.repeat(images, 3, -1)
    if channels == 2:
        return np.concatenate([images, np.zeros_like(images[..., :1])], -1)
    lower = [name.lower() for name in names]
    chosen = [lower.index(name) for name in SHOWN] if set(SHOWN) <= set(lower) else [0, 1, 2]
    return np.asarray(images) if chosen == list(range(channels)) else np.asarray(images)[..., chosen]
