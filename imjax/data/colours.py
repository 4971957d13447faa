"""Colours of classes where a dataset gives none: the colour-blind tell them apart."""

from __future__ import annotations

Colour = tuple[int, int, int]
"""RGB, 0..255."""

OBJECTS: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
    (204, 121, 167),
)  # fmt: skip
"""Of Okabe & Ito 2008, "Color Universal Design"."""
BACKGROUND: Colour = (70, 70, 70)
"""Of class 0 where that is what is no object; dark grey, so that black stays for void."""


def objects(count: int) -> tuple[Colour, ...]:
    """Colours of as many objects: `OBJECTS`, then darker and darker ones of the same hue."""
    return tuple(
        (round(r * 0.7 ** (i // 7)), round(g * 0.7 ** (i // 7)), round(b * 0.7 ** (i // 7)))
        for i, (r, g, b) in ((i, OBJECTS[i % 7]) for i in range(count))
    )
