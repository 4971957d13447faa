"""Augmentation of one image and its label, and the photometric views of one image.

Vorndran & Roeck 2024 (arXiv 2401.14387): order and ranges are those of its published code. Geometry acts on
image and label alike, photometry on the image only. Strengths are traced, so that generations share one
program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray, Shaped, UInt8, UInt32

from imjax.ops.ensemble import Label

Image = UInt8[Array, "h w c"]


class AugmentStrength(NamedTuple):
    """Largest strengths of the photometry; all zero leaves images unchanged. Scalars, traced."""

    max_blur: Int[Array, ""] | int
    """Largest blur radius, 0..3: kernel sizes up to 2·max_blur + 1."""
    max_noise: Int[Array, ""] | int
    """Noise lies in [-max_noise, max_noise) gray levels, at most 255."""
    contrast: Float[Array, ""] | float
    """The gain lies in 1 ± contrast."""
    brightness: Float[Array, ""] | float
    """The offset lies in ± brightness gray levels."""


_WEIGHTS = np.array([[256, 0, 0, 0], [128, 64, 0, 0], [96, 64, 16, 0], [72, 56, 28, 8]], np.uint16)
"""Center and three outer weights for radii 0..3, in 1/256: OpenCV's fixed kernels [1 2 1]/4, [1 4 6 4 1]/16,
[1 3.5 7 9 7 3.5 1]/32, which it takes where σ is 0 (methods.md 1.8)."""


def _smooth(image: UInt8[Array, "rows columns"], weights: Array, axis: int, step: int) -> Array:
    """Symmetric weighted mean of 7 pixels along `axis`, `step` apart, border reflected; rounded to uint8."""
    length = image.shape[axis]

    def part(values: Array, start: int, size: int) -> Array:
        return jax.lax.slice_in_dim(values, start, start + size, axis=axis)

    before = [part(image, i * step, step) for i in (3, 2, 1)]
    after = [part(image, length - i * step, step) for i in (2, 3, 4)]
    padded = jnp.concatenate([*before, image, *after], axis)
    # Without the barrier XLA recomputes the padding, and everything before it, for each of the seven terms.
    padded = jax.lax.optimization_barrier(padded)
    shifted = [part(padded, i * step, length).astype(jnp.uint16) for i in range(7)]
    # The weights sum to 256: 16 bits hold every sum.
    total = weights[0] * shifted[3]
    for reach in (1, 2, 3):
        total += weights[reach] * (shifted[3 - reach] + shifted[3 + reach])
    # Plus one half before the shift: rounded, not cut off.
    return ((total + 128) >> 8).astype(jnp.uint8)


def blur(image: Image, radius: Int[Array, ""]) -> Image:
    """Gaussian blur with kernel size 1, 3, 5, 7 for a traced radius 0, 1, 2, 3.

    OpenCV's fixed kernels (`_WEIGHTS`); the border is reflected without repeating the edge. Within 1 gray
    level of `cv2.GaussianBlur` with σ = 0, as the published code calls it.

    Raises:
        ValueError: a side is shorter than the 4 pixels that the reflection needs.
    """
    h, w, c = image.shape
    if min(h, w) < 4:
        raise ValueError(f"blur: image of {h}×{w} pixels, expected at least 4×4")
    weights = jnp.asarray(_WEIGHTS)[radius]
    # Columns and channels as one axis: loops over 3 channels would not vectorize on a CPU.
    flat = _smooth(image.reshape(h, w * c), weights, axis=1, step=c)
    return _smooth(flat, weights, axis=0, step=1).reshape(h, w, c)


def _hash(x: Array) -> Array:
    """A bijective hash of uint32 (lowbias32: shifts and two multiplications)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def add_noise(key: PRNGKeyArray, image: Image, max_noise: Int[Array, ""] | int) -> Image:
    """Add uniform integers in [−max_noise, max_noise) per pixel and channel, clipped to 0..255."""
    # Multiply and shift: 16 random bits to a range without division, uneven by less than 1 %.
    noise = ((_bits(key, image) >> 16) * jnp.asarray(2 * max_noise, jnp.uint32)) >> 16
    shifted = image.astype(jnp.int16) + noise.astype(jnp.int16) - jnp.asarray(max_noise, jnp.int16)
    return jnp.clip(shifted, 0, 255).astype(jnp.uint8)


def add_gaussian_noise(key: PRNGKeyArray, image: Image, sigma: Num[Array, ""] | float | int) -> Image:
    """Add noise of standard deviation `sigma` gray levels per pixel and channel, rounded, clipped to 0..255.

    The sum of four random bytes stands for a normal draw: within 0.01 of its distribution, never beyond
    3.5 σ, and as cheap as uniform noise.
    """
    bits = _bits(key, image)
    byte_sum = jnp.asarray(sum((bits >> shift) & 0xFF for shift in (0, 8, 16, 24)), jnp.float32)
    # Each byte has mean 127.5 and variance (256² − 1)/12.
    noise = (byte_sum - 510) / (65535 / 3) ** 0.5
    return jnp.clip(jnp.round(image.astype(jnp.float32) + sigma * noise), 0, 255).astype(jnp.uint8)


def _bits(key: PRNGKeyArray, image: Image) -> UInt32[Array, "h w c"]:
    """32 random bits for each pixel and channel."""
    # A hash of the pixel's number, keyed by 64 random bits: `jax.random.bits` for every pixel takes 40 times
    # as long on a CPU, several times as long as the rest of the augmentation.
    words = jax.random.bits(key, (2,), jnp.uint32)
    counter = jax.lax.iota(jnp.uint32, image.size).reshape(image.shape)
    return _hash(_hash(counter ^ words[0]) + words[1])


def gain_offset(image: Image, gain: Float[Array, ""] | float, offset: Float[Array, ""] | float) -> Image:
    """saturate(|gain·x + offset|), rounded half to even: `cv2.convertScaleAbs`."""
    return jnp.clip(jnp.round(jnp.abs(gain * image.astype(jnp.float32) + offset)), 0, 255).astype(jnp.uint8)


def _change_if(on: Bool[Array, ""], change: Callable[[Image], Image], image: Image) -> Image:
    """Change the image, or skip the work where a strength of zero would leave it unchanged.

    Strengths are shared by the images of a batch, so the branch remains a branch under `vmap`. Its body is
    also compiled by itself: fused into one loop with the flips before it or with the blur after it, it would
    not vectorize on a CPU, and the whole augmentation would take four times as long.
    """
    return jax.lax.cond(on, change, lambda image: image, image)


def _random_gain_offset(key: PRNGKeyArray, image: Image, strength: AugmentStrength) -> Image:
    """With probability 1/2 `gain_offset` with gain in 1 ± contrast and offset in ± brightness."""

    def change(image: Image) -> Image:
        decide, gain, offset = jax.random.uniform(key, (3,), minval=-1.0, maxval=1.0)
        active = decide < 0
        gain = jnp.where(active, 1 + gain * strength.contrast, 1.0)
        return gain_offset(image, gain, jnp.where(active, offset * strength.brightness, 0.0))

    on = (jnp.asarray(strength.contrast) != 0) | (jnp.asarray(strength.brightness) != 0)
    return _change_if(on, change, image)


def _random_blur(key: PRNGKeyArray, image: Image, strength: AugmentStrength) -> Image:
    """`blur` with a radius drawn uniformly from 0..max_blur."""
    most = jnp.asarray(strength.max_blur)
    return _change_if(most > 0, lambda image: blur(image, jax.random.randint(key, (), 0, most + 1)), image)


def _random_noise(key: PRNGKeyArray, image: Image, strength: AugmentStrength) -> Image:
    """`add_noise` of up to max_noise."""
    most = jnp.asarray(strength.max_noise)
    return _change_if(most > 0, lambda image: add_noise(key, image, most), image)


class Geometry(NamedTuple):
    """A flip and a rotation: upside down, then mirrored, then counter-clockwise. Traced."""

    vertical: Bool[Array, ""] | bool
    """Swap top and bottom."""
    horizontal: Bool[Array, ""] | bool
    """Swap left and right."""
    quarter_turns: Int[Array, ""] | int
    """0..3 (`np.rot90`); an odd number acts as the even one below it where h differs from w."""

    def apply(self, x: Shaped[Array, "h w *k"]) -> Shaped[Array, "h w *k"]:
        """Flip and rotate an image, a label or probabilities."""
        # Half a turn is both flips, and flips commute with it: one rotation remains to be selected.
        half = jnp.asarray(self.quarter_turns) >= 2
        odd = jnp.asarray(self.quarter_turns) % 2 == 1
        x = jnp.where(self.vertical ^ half, x[::-1], x)
        x = jnp.where(self.horizontal ^ half, x[:, ::-1], x)
        return jnp.where(odd, jnp.rot90(x), x) if x.shape[0] == x.shape[1] else x

    def invert(self, x: Shaped[Array, "h w *k"]) -> Shaped[Array, "h w *k"]:
        """The inverse of `apply`: rotate back, then flip back."""
        unrotated = Geometry(False, False, -jnp.asarray(self.quarter_turns) % 4).apply(x)
        return Geometry(self.vertical, self.horizontal, 0).apply(unrotated)


def random_geometry(key: PRNGKeyArray, shape: tuple[int, ...], *, rotation_invariant: bool) -> Geometry:
    """Mirror with probability 1/2; with `rotation_invariant` (static) also flip with 1/2 and rotate.

    Rotations are uniform over 0, 90, 180, 270 degrees, or 0 and 180 where h differs from w (`shape`).
    """
    # One byte for all decisions: each call of the generator is a program of its own to compile and run.
    bits = jax.random.bits(key, (), jnp.uint8)
    horizontal, vertical, turns = (bits & 1) == 1, (bits & 2) == 2, (bits >> 2 & 3).astype(jnp.int32)
    if not rotation_invariant:
        return Geometry(jnp.zeros_like(vertical), horizontal, jnp.zeros_like(turns))
    return Geometry(vertical, horizontal, turns if shape[0] == shape[1] else turns & 2)


def augment(
    key: PRNGKeyArray, image: Image, label: Label, strength: AugmentStrength, *, rotation_invariant: bool
) -> tuple[Image, Label]:
    """One augmented copy of a pair: flips and rotation, gain and offset, blur, noise.

    Args:
        key: one key per copy.
        image: `[h, w, c]` uint8.
        label: `[h, w]` or `[h, w, k]` uint8; geometry only.
        strength: traced limits of the photometry.
        rotation_invariant: static; `DatasetSpec.rotation_invariant`.
    """
    geometry_key, contrast_key, blur_key, noise_key = jax.random.split(key, 4)
    geometry = random_geometry(geometry_key, image.shape, rotation_invariant=rotation_invariant)
    image, label = geometry.apply(image), geometry.apply(label)
    image = _random_gain_offset(contrast_key, image, strength)
    image = _random_blur(blur_key, image, strength)
    return _random_noise(noise_key, image, strength), label


def perturb(key: PRNGKeyArray, image: Image, strength: AugmentStrength) -> Image:
    """A photometric view of an image, for consistency and input ensembles: blur, noise, gain and offset."""
    # Another order than in `augment`, as in the published code: contrast also acts on the noise.
    blur_key, noise_key, contrast_key = jax.random.split(key, 3)
    image = _random_blur(blur_key, image, strength)
    image = _random_noise(noise_key, image, strength)
    return _random_gain_offset(contrast_key, image, strength)
