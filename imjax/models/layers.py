"""Layers of all nets, for one model and one batch `[b, *spatial, c]` of one to three spatial axes."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from imjax.models.convolution import choose_convolution

he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")


class Conv(nn.Module):
    """Convolution k×k, SAME, with bias, He-normal, then ReLU.

    A 1×1 convolution is computed as the matrix product that it is: on a CPU several times faster than XLA's
    convolution, forward and backward.
    """

    size: int
    features: int
    dtype: Any = jnp.float32
    convolution: str = "auto"
    """See `choose_convolution`."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[b, *spatial, c]` → `[b, *spatial, features]`."""
        if self.size == 1:
            x = nn.Dense(self.features, dtype=self.dtype, kernel_init=he_normal)(x)
        else:
            sizes = (self.size,) * (x.ndim - 2)
            convolve = choose_convolution(self.convolution, len(sizes))
            x = nn.Conv(
                self.features, sizes, dtype=self.dtype, kernel_init=he_normal, conv_general_dilated=convolve
            )(x)
        return nn.relu(x)


def _statistics(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and variance of each channel in float32, in one pass over `[..., c]`."""
    x = x.astype(jnp.float32)
    pixels = tuple(range(x.ndim - 1))
    mean = x.mean(pixels)
    # E[x²] − E[x]² reads x once; rounding may make it slightly negative.
    return mean, jnp.maximum((x * x).mean(pixels) - mean * mean, 0)


def _affine(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
    """`scale · x + shift` computed in float32, in the type of `x`."""
    return (x.astype(jnp.float32) * scale + shift).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def normalize(x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> tuple:
    """Batch normalization by the batch's own statistics (Ioffe & Szegedy 2015, algorithm 1).

    Its gradient is written in closed form: two passes over `x`, one for two sums and one for the result, and
    only `x` is stored for it, while automatic differentiation goes through mean and variance separately.
    `tests/models/test_layers.py` compares the two.

    Args:
        x: `[..., c]`, any float type.
        scale: float32 `[c]`.
        bias: float32 `[c]`.
        epsilon: added to the variance.

    Returns:
        The result, in the type of `x`; the float32 mean and biased variance `[c]`, through which no gradient
        flows.
    """
    return _normalize_forward(x, scale, bias, epsilon)[0]


def _normalize_forward(x, scale, bias, epsilon):
    mean, variance = _statistics(x)
    inverse = jax.lax.rsqrt(variance + epsilon)
    y = _affine(x, scale * inverse, bias - mean * scale * inverse)
    return (y, mean, variance), (x, mean, inverse, scale)


def _normalize_backward(epsilon, saved, grads):
    """With x̂ = (x − mean)·inverse: scale·inverse·(g − Σg/n − x̂·Σ(g·x̂)/n), Σ(g·x̂) and Σg."""
    x, mean, inverse, scale = saved
    count, pixels = x.size // x.shape[-1], tuple(range(x.ndim - 1))
    x32, g = x.astype(jnp.float32), grads[0].astype(jnp.float32)
    bias_grad = g.sum(pixels)
    # From Σ(g·x), so that x̂ is never stored: Σ(g·x̂) = (Σ(g·x) − mean·Σg)·inverse.
    scale_grad = ((g * x32).sum(pixels) - mean * bias_grad) * inverse
    slope = inverse * scale_grad / count
    x_grad = scale * inverse * (g - slope * x32 + (slope * mean - bias_grad / count))
    return x_grad.astype(x.dtype), scale_grad, bias_grad


normalize.defvjp(_normalize_forward, _normalize_backward)


class BatchNorm(nn.Module):
    """`normalize` with its parameters and running statistics, with the names of flax's layer."""

    momentum: float
    epsilon: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """`[b, *spatial, c]` → same; `train` normalizes by the batch and updates the running statistics."""
        channels = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        variance = self.variable("batch_stats", "var", jnp.ones, channels)
        if not train:
            factor = scale * jax.lax.rsqrt(variance.value + self.epsilon)
            return _affine(x, factor, bias - mean.value * factor)
        y, *statistics = normalize(x, scale, bias, self.epsilon)
        # The zeros that initialize a net must not enter the running statistics.
        if not self.is_initializing():
            for running, now in zip((mean, variance), statistics, strict=True):
                running.value = self.momentum * running.value + (1 - self.momentum) * now
        return y


class Norm(nn.Module):
    """Batch normalization with statistics in float32 whatever the type of the features."""

    momentum: float
    epsilon: float = 1e-3

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """`[b, *spatial, c]` → same; `train` normalizes by the batch and updates the running statistics."""
        # A layer within the layer: flax draws and stores weights by path, which must not change.
        return BatchNorm(self.momentum, self.epsilon)(x, train)


def max_pool(x: jax.Array) -> jax.Array:
    """2×2 maximum with stride 2, odd last rows and columns dropped: `[b, h, w, c]` → `[b, h//2, w//2, c]`.

    Volumes likewise: 2×2×2. Computed as a maximum of four (eight) strided slices: its gradient is a select,
    that of `reduce_window` a select-and-scatter, which is slow on CPU. Equal entries share the gradient.
    """
    b, *sizes, c = x.shape
    x = x[(slice(None), *(slice(size // 2 * 2) for size in sizes))]
    x = x.reshape(b, *(side for size in sizes for side in (size // 2, 2)), c)

    def window_max(*offsets: int) -> jax.Array:
        """Maximum over the pixels that have these offsets along the first axes of their windows."""
        if len(offsets) < len(sizes):
            return jnp.maximum(window_max(*offsets, 0), window_max(*offsets, 1))
        return x[(slice(None), *(i for offset in offsets for i in (slice(None), offset)))]

    return window_max()


def upsample(x: jax.Array) -> jax.Array:
    """Nearest-neighbor doubling: `[b, h, w, c]` → `[b, 2h, 2w, c]`."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


def upsample_linear(x: jax.Array) -> jax.Array:
    """Linear interpolation to twice the size along each spatial axis, corner pixels staying in the corners.

    `[b, h, w, c]` → `[b, 2h, 2w, c]`, likewise for other numbers of axes. On an axis of n pixels the new
    pixel j lies at j·(n − 1)/(2n − 1), the rule that PyTorch calls `align_corners`. Computed from shifted
    copies: a gather would have a scatter as its gradient, which is slow everywhere.
    """
    for axis in range(1, x.ndim - 1):
        n = x.shape[axis]
        place = jnp.arange(n, dtype=jnp.float32).reshape(-1, *(1,) * (x.ndim - 1 - axis)) / (2 * n - 1)
        before = jnp.concatenate([_part(x, axis, 0, 1), _part(x, axis, 0, n - 1)], axis)
        after = jnp.concatenate([_part(x, axis, 1, n), _part(x, axis, n - 1, n)], axis)
        # Pixel 2i lies i/(2n − 1) before pixel i, pixel 2i + 1 (n − 1 − i)/(2n − 1) behind it.
        even = x + place.astype(x.dtype) * (before - x)
        odd = x + ((n - 1) / (2 * n - 1) - place).astype(x.dtype) * (after - x)
        shape = (*x.shape[:axis], 2 * n, *x.shape[axis + 1 :])
        x = jnp.stack([even, odd], axis + 1).reshape(shape)
    return x


def _part(x: jax.Array, axis: int, start: int, stop: int) -> jax.Array:
    return jax.lax.slice_in_dim(x, start, stop, axis=axis)


class Up(nn.Module):
    """1×1 convolution with bias, without ReLU, then `upsample_linear`, as in the SSL4MIS benchmark."""

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[b, h, w, c]` → `[b, 2h, 2w, features]`; likewise for other numbers of spatial axes."""
        return upsample_linear(nn.Dense(self.features, dtype=self.dtype)(x))


def scale_input(images: jax.Array, dtype: Any) -> jax.Array:
    """uint8 0..255 → 0..1; images of a float type are 0..1 already and are not scaled."""
    if jnp.issubdtype(images.dtype, jnp.floating):
        return images.astype(dtype)
    return images.astype(dtype) / jnp.asarray(255, dtype)
