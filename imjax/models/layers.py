"""Layers that U-Net and EvalNet share, for one model and one batch `[b, h, w, c]`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")


class Conv(nn.Module):
    """`C(k, f)` of method.md 1.4: convolution k×k, SAME, bias, He-normal, ReLU.

    A 1×1 convolution is a matrix product and is taken as one: on a CPU that is several times faster
    than XLA's convolution, forward and backward.
    """

    size: int
    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[b, h, w, c]` → `[b, h, w, features]`."""
        if self.size == 1:
            x = nn.Dense(self.features, dtype=self.dtype, kernel_init=he_normal)(x)
        else:
            sizes = (self.size, self.size)
            x = nn.Conv(self.features, sizes, dtype=self.dtype, kernel_init=he_normal)(x)
        return nn.relu(x)


class Norm(nn.Module):
    """Batch normalisation with ε 1e-3, statistics in float32 whatever the compute type."""

    momentum: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """`[b, h, w, c]` → same; `train` normalises by the batch and updates the running statistics."""
        return nn.BatchNorm(not train, momentum=self.momentum, epsilon=1e-3, dtype=self.dtype)(x)


def max_pool(x: jax.Array) -> jax.Array:
    """2×2 maximum with stride 2, odd last rows and columns dropped: `[b, h, w, c]` → `[b, h//2, w//2, c]`.

    Written as a maximum of four strided slices: its gradient is a select, where `reduce_window`'s is a
    slow select-and-scatter on CPU. Tied entries share the gradient.
    """
    b, h, w, c = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2].reshape(b, h // 2, 2, w // 2, 2, c)
    return jnp.maximum(
        jnp.maximum(x[:, :, 0, :, 0], x[:, :, 0, :, 1]), jnp.maximum(x[:, :, 1, :, 0], x[:, :, 1, :, 1])
    )


def upsample(x: jax.Array) -> jax.Array:
    """Nearest-neighbour doubling: `[b, h, w, c]` → `[b, 2h, 2w, c]`."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


def scale_input(images: jax.Array, dtype: Any) -> jax.Array:
    """uint8 0..255 → 0..1."""
    return images.astype(dtype) / jnp.asarray(255, dtype)
