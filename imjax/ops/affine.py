"""Random zoom and turn of an image with its label, for training on varied scales (`recipe=strong`)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, PRNGKeyArray, Shaped, UInt8

Number = Float[Array, ""] | float
Pixels = UInt8[Array, "..."]


def random_zoom_and_turn(
    key: PRNGKeyArray, image: Pixels, label: Pixels, zoom: Number, turn: Number
) -> tuple[Pixels, Pixels]:
    """The same random window of an image and its label, resampled to their size.

    Args:
        key: one key per pair.
        image: `[h, w, c]`, or a volume `[d, h, w, c]`, whose slices move alike. Bilinear between pixels,
            rounded.
        label: `[h, w]` or `[h, w, k]`, of a volume with `d` first. The nearest pixel: no value is new.
        zoom: largest factor of size; the factor is log-uniform in 1/zoom..zoom. An enlarged image shows a
            random part of itself, a shrunk one lies at a random place and is mirrored at its borders.
        turn: largest angle in degrees, either way.
    """
    coordinates = _draw_coordinates(key, image.shape[-3:-1], zoom, turn)

    def resample(x: Array, order: int) -> Array:
        move = lambda plane: map_coordinates(plane, coordinates, order, mode="mirror")  # noqa: E731
        if x.ndim - (image.ndim - 3) == 3:
            move = jax.vmap(move, 2, 2)
        return (jax.vmap(move) if image.ndim == 4 else move)(x)

    pixels = resample(image.astype(jnp.float32), order=1)
    return jnp.round(pixels).astype(jnp.uint8), resample(label, order=0)


def _draw_coordinates(
    key: PRNGKeyArray, shape: tuple[int, ...], zoom: Number, turn: Number
) -> list[Shaped[Array, "h w"]]:
    """Row and column in the image of each pixel of the window."""
    h, w = shape
    size, angle, *place = jax.random.uniform(key, (4,), minval=-1.0, maxval=1.0)
    step = jnp.asarray(zoom, jnp.float32) ** -size
    sine, cosine = (step * f(angle * turn * jnp.pi / 180) for f in (jnp.sin, jnp.cos))
    # So far may the window's center leave the image's, with neither beyond the other's border.
    free = jnp.abs(1 - step) / 2
    center = [(side - 1) / 2 + part * free * side for side, part in zip(shape, place, strict=True)]
    row, column = jnp.meshgrid(jnp.arange(h) - (h - 1) / 2, jnp.arange(w) - (w - 1) / 2, indexing="ij")
    return [center[0] + cosine * row - sine * column, center[1] + sine * row + cosine * column]
