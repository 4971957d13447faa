"""simEps's similarity consistency: two nets should find the same samples of a batch alike.

simEps (IEEE TII 2022), methods.md 2.1. Only relations between samples are compared, so that the two feature
maps may differ in size and channels.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32


def gram(features: Float[Array, "b ..."]) -> Float32[Array, "b b"]:
    """Gram matrix F Fᵀ of a batch with each row of length 1; F has one flattened sample a row.

    Products and sums are float32 whatever the input. A sample of zeros has a row of zeros, and no gradient
    flows from that row.

    Args:
        features: a feature map or output of b samples, any other axes.
    """
    rows = features.reshape(features.shape[0], -1).astype(jnp.float32)
    # Highest: an accelerator's default for float32 products rounds the factors to far fewer bits.
    products = jnp.matmul(rows, rows.T, precision=jax.lax.Precision.HIGHEST)
    squared = jnp.square(products).sum(-1, keepdims=True)
    alive = squared > 0
    # The inner choice keeps the root's infinite derivative at 0 out of the gradient.
    return jnp.where(alive, products / jnp.sqrt(jnp.where(alive, squared, 1)), 0)


def similarity_loss(one: Float[Array, "b ..."], other: Float[Array, "b ..."]) -> Float32[Array, ""]:
    """½ MSE(G₁, stop(G₂)) + ½ MSE(stop(G₁), G₂) of the two Gram matrices, mean over their b² entries.

    The value is the plain MSE; each side gets half of its gradient, as if the other were
    constant. 0 for b = 1.

    Args:
        one, other: features of the same b samples from two nets.
    """
    first, second = gram(one), gram(other)

    def towards(moving: Array, fixed: Array) -> Array:
        return jnp.square(moving - jax.lax.stop_gradient(fixed)).mean()

    return (towards(first, second) + towards(second, first)) / 2
