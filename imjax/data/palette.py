"""Colors of classes where a dataset gives none: the color-blind tell them apart."""

from __future__ import annotations

import numpy as np

from imjax.data.spec import VOID, DatasetSpec

Color = tuple[int, int, int]
"""RGB, 0..255."""

OBJECTS: tuple[Color, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
    (204, 121, 167),
)  # fmt: skip
"""Of Okabe & Ito 2008, "Color Universal Design"."""
BACKGROUND: Color = (70, 70, 70)
"""Of class 0 where that is what is no object; dark gray, so that black stays for void."""


def object_colors(count: int) -> tuple[Color, ...]:
    """Colors of as many objects: `OBJECTS`, then darker and darker ones of the same hue."""
    return tuple(
        (round(r * 0.7 ** (i // 7)), round(g * 0.7 ** (i // 7)), round(b * 0.7 ** (i // 7)))
        for i, (r, g, b) in ((i, OBJECTS[i % 7]) for i in range(count))
    )


VOID_COLOR = (0, 0, 0)
SHOWN = ("red", "green", "blue")
"""Names of the channels that a picture of many is painted with."""


def paint_labels(spec: DatasetSpec, labels: np.ndarray) -> np.ndarray:
    """Labels → uint8 RGB `[..., h, w, 3]` in the dataset's colors; void is black.

    Multilabel channels are painted over one another in their order.
    """
    table = np.zeros((256, 3), np.uint8)
    table[VOID] = VOID_COLOR
    if spec.kind == "multiclass":
        table[: spec.outputs] = spec.palette
        return table[labels]
    channels = labels[..., None] if spec.kind == "binary" else labels
    out = np.zeros((*channels.shape[:-1], 3), np.uint8)
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
