"""Weak and strong views of one image for joint training, CutMix, and Mean Teacher's noise.

Flips, rotations, contrast, blur and noise each act with a probability of their own (simEps, IEEE TII 2022);
strong views change photometry only, so that a weak view's pseudo-label fits them (FixMatch, Sohn et al. 2020,
arXiv 2001.07685, in its segmentation form, UniMatch, Yang et al. 2023, arXiv 2208.09910). Probabilities and
strengths are traced; `jax.vmap` gives a batch of views. Where nothing acts the image is returned unchanged.

A volume is treated as one image whose channels are its slices: one geometry, in the plane of a slice, one
gain and offset, one radius of a blur within each slice, and independent noise for each voxel.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, PRNGKeyArray, Shaped, UInt8

from imjax.ops.augment import AugmentStrength, Geometry, Image, add_gaussian_noise, blur, gain_offset
from imjax.ops.ensemble import Label

Volume = UInt8[Array, "d h w c"]
Number = Float[Array, ""] | float | int


class AugmentProbabilities(NamedTuple):
    """Probability, 0..1, that an operation acts on a view. Scalars, traced."""

    flip: Number
    """Mirroring, and independently, if rotation-invariant, upside down."""
    rotate: Number
    """Rotation by 90, 180 or 270 degrees, if rotation-invariant; by 180 where h differs from w."""
    contrast: Number
    """Gain and offset; in strong views of RGB images contrast and saturation too."""
    blur: Number
    """Blur with a radius of 1..`AugmentStrength.max_blur`."""
    noise: Number
    """Gaussian noise; `AugmentStrength.max_noise` is here its standard deviation, in gray levels."""


BOX_SHARE = (0.02, 0.4)
"""Range of the share of the image that a CutMix box covers before it is clipped to it (UniMatch)."""

BOX_ASPECT = (0.3, 1 / 0.3)
"""Range of height : width of a CutMix box, both as parts of the image's (UniMatch)."""

LUMA = (0.299, 0.587, 0.114)
"""Gray of an RGB pixel (ITU-R BT.601)."""


def make_weak_view(
    key: PRNGKeyArray,
    image: Image | Volume,
    label: Label | UInt8[Array, "d h w"] | UInt8[Array, "d h w k"],
    probabilities: AugmentProbabilities,
    strength: AugmentStrength,
    *,
    rotation_invariant: bool,
) -> tuple[UInt8[Array, ...], UInt8[Array, ...]]:
    """A weak view: geometry on image and label, then contrast, blur and noise on the image.

    Args:
        key: one key per view.
        image: `[h, w, c]`, of a volume `[d, h, w, c]`, uint8; h and w are 4 or more.
        label: `[h, w]` or `[h, w, k]` uint8, of a volume with `d` first; moves with the image.
        probabilities, strength: traced. Gains are uniform in 1 ± contrast, offsets in ± brightness gray
            levels.
        rotation_invariant: static; `DatasetSpec.rotation_invariant`. Without it an image is mirrored at most.
    """
    if image.ndim == 4:
        slices = _slices_to_channels(image), _slices_to_channels(label)
        image_view, label_view = make_weak_view(
            key, *slices, probabilities, strength, rotation_invariant=rotation_invariant
        )
        return _channels_to_slices(image_view, image.shape), _channels_to_slices(label_view, label.shape)
    geometry_key, photometry_key = jax.random.split(key)
    geometry = _random_geometry(geometry_key, image.shape, probabilities, rotation_invariant)
    moved = geometry.apply(image)
    return _photometry(photometry_key, moved, probabilities, strength, color=False), geometry.apply(label)


def make_strong_view(
    key: PRNGKeyArray, image: Image | Volume, probabilities: AugmentProbabilities, strength: AugmentStrength
) -> UInt8[Array, ...]:
    """A strong view: contrast, color jitter, blur and noise; the geometry stays.

    `probabilities.flip` and `probabilities.rotate` are not used. Three channels are taken for RGB: their
    contrast about the image's mean and their saturation change by factors in 1 ± contrast, together with gain
    and offset. Channels of a volume are never taken for RGB.
    """
    if image.ndim == 4:
        flat = _slices_to_channels(image)
        return _channels_to_slices(_photometry(key, flat, probabilities, strength, color=False), image.shape)
    return _photometry(key, image, probabilities, strength, color=image.shape[-1] == 3)


def _slices_to_channels(volume: Shaped[Array, "d h w *k"]) -> Shaped[Array, "h w n"]:
    """The slices of a volume as channels of an image."""
    return jnp.moveaxis(volume, 0, 2).reshape(*volume.shape[1:3], -1)


def _channels_to_slices(image: Shaped[Array, "h w n"], shape: tuple[int, ...]) -> Shaped[Array, "d h w *k"]:
    """The inverse of `_slices_to_channels` for a volume of that shape."""
    depth, *plane = shape[:3]
    return jnp.moveaxis(image.reshape(*plane, depth, *shape[3:]), 2, 0)


def _random_geometry(
    key: PRNGKeyArray, shape: tuple[int, ...], probabilities: AugmentProbabilities, rotation_invariant: bool
) -> Geometry:
    """Each flip and the rotation with its probability; without `rotation_invariant` only left and right."""
    # All four numbers are drawn in any case, so that both kinds of dataset draw the same mirroring.
    horizontal, vertical, turned, angle = jax.random.uniform(key, (4,))
    if not rotation_invariant:
        return Geometry(False, horizontal < probabilities.flip, 0)
    turns = 1 + jnp.floor(3 * angle).astype(jnp.int32) if shape[0] == shape[1] else 2
    return Geometry(
        vertical < probabilities.flip,
        horizontal < probabilities.flip,
        jnp.where(turned < probabilities.rotate, turns, 0),
    )


def _photometry(
    key: PRNGKeyArray,
    image: Image,
    probabilities: AugmentProbabilities,
    strength: AugmentStrength,
    *,
    color: bool,
) -> Image:
    """Gain and offset, with `color` also contrast and saturation, then blur, then noise, each at random."""
    draws_key, noise_key = jax.random.split(key)
    # One draw for all: each call of the generator is a program of its own to compile and run.
    draws = jax.random.uniform(draws_key, (8,))
    limits = jnp.stack([probabilities.contrast, probabilities.blur, probabilities.noise])
    contrasted, blurred, noisy = draws[:3] < limits
    gain, offset, contrast, saturation = jnp.where(contrasted, 2 * draws[3:7] - 1, 0)
    image = gain_offset(image, 1 + gain * strength.contrast, offset * strength.brightness)
    if color:
        image = color_jitter(image, 1 + contrast * strength.contrast, 1 + saturation * strength.contrast)
    most = jnp.asarray(strength.max_blur)
    radius = jnp.minimum(1 + jnp.floor(draws[7] * most).astype(jnp.int32), most)
    image = blur(image, jnp.where(blurred, radius, 0))
    return add_gaussian_noise(noise_key, image, jnp.where(noisy, strength.max_noise, 0))


def color_jitter(image: UInt8[Array, "h w 3"], contrast: Number, saturation: Number) -> UInt8[Array, "h w 3"]:
    """Stretch about the image's mean gray by `contrast`, then about each pixel's gray by `saturation`.

    1 leaves the image as it is; contrast 0 gives its mean gray, saturation 0 a gray image. Rounded and
    clipped to 0..255 once, at the end.
    """
    luma = jnp.array(LUMA)
    x = image.astype(jnp.float32)
    mean = (x * luma).sum(-1).mean()
    x = mean + contrast * (x - mean)
    gray = (x * luma).sum(-1, keepdims=True)
    return jnp.clip(jnp.round(gray + saturation * (x - gray)), 0, 255).astype(jnp.uint8)


def cutmix_box(key: PRNGKeyArray, shape: tuple[int, ...], probability: Number) -> Bool[Array, "h w"]:
    """With the given probability a random box of True, else all False.

    The box's share of the image is uniform in `BOX_SHARE`, its aspect in `BOX_ASPECT`. A side longer than the
    image's is clipped to it, so such a box covers less; its position is uniform over all inside the image.

    Args:
        key: one key per image.
        shape: static; (h, w), further axes are ignored.
        probability: 0..1, traced.
    """
    h, w = shape[:2]
    draws = jax.random.uniform(key, (5,))
    share = BOX_SHARE[0] + draws[0] * (BOX_SHARE[1] - BOX_SHARE[0])
    aspect = BOX_ASPECT[0] + draws[1] * (BOX_ASPECT[1] - BOX_ASPECT[0])

    def span(length: int, part: Array, place: Array) -> Array:
        size = jnp.clip(jnp.round(length * part), 1, length)
        start = jnp.floor(place * (length - size + 1))
        at = jnp.arange(length)
        return (at >= start) & (at < start + size)

    rows = span(h, jnp.sqrt(share * aspect), draws[2])
    columns = span(w, jnp.sqrt(share / aspect), draws[3])
    return rows[:, None] & columns & (draws[4] < probability)


def cutmix(
    mask: Bool[Array, "*px"], x: Shaped[Array, "*x"], pasted: Shaped[Array, "*x"]
) -> Shaped[Array, "*x"]:
    """`pasted` inside the mask, `x` outside: for images, labels, weights and probabilities alike.

    The mask has the first axes of `x`: `[h, w]`, of a volume `[d, h, w]`.
    """
    return jnp.where(mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)), pasted, x)


def gaussian_noise(
    key: PRNGKeyArray,
    image: UInt8[Array, "*px"] | Float[Array, "*px"],
    sigma: Number = 0.1,
    clip: Number = 0.2,
) -> Float32[Array, "*px"]:
    """The image in 0..1 plus Gaussian noise clipped to ± clip: Mean Teacher's teacher input.

    The sum is not clipped to 0..1, as in the SSL4MIS benchmark.

    Args:
        image: uint8 0..255, which is divided by 255, or float, taken as it is; any axes.
        sigma, clip: in units of the image's range.
    """
    scaled = image.astype(jnp.float32) / 255 if image.dtype == jnp.uint8 else image.astype(jnp.float32)
    noise = jax.random.normal(key, image.shape, jnp.float32) * sigma
    return scaled + jnp.clip(noise, -clip, clip)
