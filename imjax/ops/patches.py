"""Random patches of one image or volume, for training on volumes that are too large to be used whole.

V-Net and its successors train on patches of fixed size (Milletari et al. 2016, arXiv 1606.04797; the left
atrium's benchmark, UA-MT, Yu et al. 2019, arXiv 1907.07034). Patches are drawn on the device.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, UInt8


def random_patch(
    key: PRNGKeyArray, image: UInt8[Array, "*px c"], label: UInt8[Array, ...], size: tuple[int, ...]
) -> tuple[UInt8[Array, "*patch c"], UInt8[Array, ...]]:
    """The same random part of an image and its label.

    Args:
        key: one key per image; the part's place is uniform over all where it lies inside.
        image: `[*px, c]`, of any number of axes.
        label: `[*px]` or `[*px, k]`.
        size: static; sides of the part, as many as the image has axes.

    Returns:
        Image `[*size, c]` and label `[*size]` or `[*size, k]`.

    Raises:
        ValueError: other axes than the image's, or a side longer than the image's.
    """
    sides = image.shape[:-1]
    if len(size) != len(sides) or any(part > side for part, side in zip(size, sides, strict=True)):
        raise ValueError(f"random_patch: {size} of an image of {sides}, expected a part of it")
    places = jnp.array([side - part + 1 for part, side in zip(size, sides, strict=True)])
    # The largest float below 1 times a side rounds to no more than the side: the minimum keeps it inside.
    starts = jnp.floor(jax.random.uniform(key, (len(size),)) * places).astype(jnp.int32)
    starts = jnp.minimum(starts, places - 1)

    def part(x: Array) -> Array:
        trailing_axes = x.shape[len(size) :]
        return jax.lax.dynamic_slice(x, (*starts, *(0 for _ in trailing_axes)), (*size, *trailing_axes))

    return part(image), part(label)
