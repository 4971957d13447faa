"""simEps's similarity consistency: two nets should see the same similarities between a batch's samples.

simEps (IEEE TII 2022). Only relations between samples are compared, so that the two feature maps may differ
in size and channels.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32


def gram_matrix(features: Float[Array, "b ..."]) -> Float32[Array, "b b"]:
    """Gram matrix F Fᵀ of a batch with each row of length 1; F has one flattened sample a row.

    Products and sums are float32 whatever the input. A sample of zeros has a row of zeros, and no gradient
    flows from that row.

    Args:
        features: a feature map or output of b samples, any other axes.
    """
    rows = features.reshape(features.shape[0], -1).astype(jnp.float32)
    # Highest precision: accelerators by default round the factors of float32 products to far fewer bits.
    products = jnp.matmul(rows, rows.T, precision=jax.lax.Precision.HIGHEST)
    squared = jnp.square(products).sum(-1, keepdims=True)
    nonzero = squared > 0
    # The inner `where` keeps the root's infinite derivative at 0 out of the gradient.
    return jnp.where(nonzero, products / jnp.sqrt(jnp.where(nonzero, squared, 1)), 0)


def similarity_loss(first: Float[Array, "b ..."], second: Float[Array, "b ..."]) -> Float32[Array, ""]:
    """½ MSE(G₁, stop(G₂)) + ½ MSE(stop(G₁), G₂) of the two Gram matrices, mean over their b² entries.

    The value is the plain MSE; each side gets half of its gradient, as if the other were
    constant. 0 for b = 1.

    Args:
        first, second: features of the same b samples from two nets.
    """
    first_gram, second_gram = gram_matrix(first), gram_matrix(second)

    def one_sided(trained: Array, target: Array) -> Array:
        return jnp.square(trained - jax.lax.stop_gradient(target)).mean()

    return (one_sided(first_gram, second_gram) + one_sided(second_gram, first_gram)) / 2
