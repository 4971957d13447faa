"""Square morphology on one mask or class map; sizes are odd, borders as OpenCV's default.

Pixels outside the image never decide: they count as the largest value in an erosion and as the smallest
in a dilation. A square kernel is separable, so every filter is a maximum over shifted rows, then columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, UInt8

CHOICES = (0, 3, 5)
"""Kernel sizes drawn for EvalNet's data (methods.md 1.6)."""

Size = int | Int[Array, ""]
"""A kernel size: a Python int is static; a traced one must be among the `choices` of the call."""


def _max_filter(values: Array, size: int) -> Array:
    """Maximum over a size×size window of `[h, w]`; the smallest value of the type lies outside."""
    if size < 0 or (size > 1 and size % 2 == 0):
        raise ValueError(f"morphology: kernel size {size}, expected 0 (off) or an odd number")
    if size <= 1:
        return values
    for axis in (0, 1):
        reach = size // 2
        margin = [(reach, reach) if a == axis else (0, 0) for a in (0, 1)]
        padded = jnp.pad(values, margin)
        length = values.shape[axis]
        out = values
        for start in range(size):
            window = [slice(None), slice(None)]
            window[axis] = slice(start, start + length)
            out = jnp.maximum(out, padded[tuple(window)])
        values = out
    return values


def dilate(mask: Bool[Array, "h w"], size: int) -> Bool[Array, "h w"]:
    """Dilation by a size×size square (`cv2.dilate`); size 0 or 1 is the identity.

    Raises:
        ValueError: `size` is even (no center pixel) or negative.
    """
    return _max_filter(mask, size)


def erode(mask: Bool[Array, "h w"], size: int) -> Bool[Array, "h w"]:
    """Erosion by a size×size square (`cv2.erode`); size 0 or 1 is the identity.

    Raises:
        ValueError: `size` is even (no center pixel) or negative.
    """
    return ~_max_filter(~mask, size)


def dilate_classes(labels: UInt8[Array, "h w"], size: int) -> UInt8[Array, "h w"]:
    """Gray dilation of a class map: each pixel takes the largest class index in its size×size square.

    Raises:
        ValueError: `size` is even (no center pixel) or negative.
    """
    return _max_filter(labels, size)


def _by_choice(
    filter_: Callable[[Array, int], Array], mask: Array, size: Size, choices: Sequence[int]
) -> Array:
    if isinstance(size, int):
        return filter_(mask, size)
    out = mask
    for choice in choices:
        out = jnp.where(size == choice, filter_(mask, choice), out)
    return out


def dilate_by_choice(
    mask: Bool[Array, "h w"], size: Size, choices: Sequence[int] = CHOICES
) -> Bool[Array, "h w"]:
    """`dilate` with a size that may be traced; a traced size outside `choices` leaves the mask as it is."""
    return _by_choice(dilate, mask, size, choices)


def erode_by_choice(
    mask: Bool[Array, "h w"], size: Size, choices: Sequence[int] = CHOICES
) -> Bool[Array, "h w"]:
    """`erode` with a size that may be traced; a traced size outside `choices` leaves the mask as it is."""
    return _by_choice(erode, mask, size, choices)
