"""Reliability of each pixel of one prediction, relative to the other pixels of its image.

After CSL (Liu & Liu 2025, arXiv 2509.16704) and its sequel CoVar (arXiv 2601.11670). From the papers: two
features per pixel, the maximum confidence and the residual dispersion of the other classes; for each image a
split in two by the spectral relaxation of k-means, so that no threshold is set by hand; full weight for
reliable pixels, for others a Gaussian of the distance to the reliable cluster, each feature in units of the
cluster's own spread.

Different from the papers: dispersion is a standard deviation, not a variance: both features are then
probabilities, and neither dominates the other. The features are centered: the relaxation for two clusters is
then the sign along the leading eigenvector of their Gram matrix, which is defined for two classes too, where
dispersion is always 0 and a second eigenvector does not exist. Only the reliable cluster itself has full
weight; CoVar's code also gives it to every pixel that is better than the cluster's center in one feature.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32

VARIANCE_FLOOR = 1e-8
"""Added to the reliable cluster's variances: its spread is at least 1e-4, so nearly equal pixels weigh 1."""

TIE = 1e-6
"""Confidences, and distances from the cut, closer than this are equal up to float32 rounding."""


def reliability_features(
    probabilities: Float[Array, "*px c"],
) -> tuple[Float32[Array, "*px"], Float32[Array, "*px"]]:
    """Maximum confidence, 1/c..1, and residual dispersion of each pixel.

    Dispersion is the standard deviation of the other c − 1 probabilities: 0 where they are equal, largest
    where one other class has all of the remaining probability, and always exactly 0 for two classes. No
    gradient.
    """
    p = jax.lax.stop_gradient(probabilities).astype(jnp.float32)
    c = p.shape[-1]
    residual = p.argmax(-1)[..., None] != jnp.arange(c)
    count = max(c - 1, 1)
    mean = jnp.where(residual, p, 0).sum(-1, keepdims=True) / count
    variance = jnp.where(residual, jnp.square(p - mean), 0).sum(-1) / count
    return p.max(-1), jnp.sqrt(variance)


def leading_direction(a: Array, b: Array, d: Array) -> tuple[Array, Array]:
    """Unit eigenvector of the larger eigenvalue of [[a, b], [b, d]], first entry not negative.

    (1, 0) where no direction leads. In closed form: its angle is half of that of (a − d, 2b).
    """
    angle = jnp.arctan2(2 * b, a - d) / 2
    return jnp.cos(angle), jnp.sin(angle)


def reliability_weights(
    probabilities: Float[Array, "*px c"], counted: Bool[Array, "*px"] | None = None
) -> Float32[Array, "*px"]:
    """Weight 0..1 of each pixel of one image: 1 if reliable, else smaller with the distance from those.

    Pixels are split in two along the leading eigenvector of their centered features' Gram matrix. The side
    with the higher mean confidence (if equal: the lower mean dispersion) is reliable. A pixel of the other
    side weighs exp(−½ z²), z its distance to the reliable side's mean, each feature in units of that side's
    standard deviation. For two classes an adaptive cut: pixels above the image's mean confidence weigh 1.
    Where all pixels are equal all weigh 1. No gradient flows through the weights.

    Args:
        probabilities: of one image or volume; `jax.vmap` for several.
        counted: False for void pixels, which are ignored and weigh 0; None: all pixels count.
    """
    confidence, dispersion = reliability_features(probabilities)
    if counted is None:
        counted = jnp.ones(confidence.shape, bool)

    def mean(values: Array, where: Array) -> Array:
        return jnp.where(where, values, 0).sum() / jnp.maximum(where.sum(), 1)

    dc, dd = confidence - mean(confidence, counted), dispersion - mean(dispersion, counted)
    along, across = leading_direction(mean(dc * dc, counted), mean(dc * dd, counted), mean(dd * dd, counted))
    # A pixel at the cut must be on one side in every place where a program computes this, however it rounds.
    ahead = dc * along + dd * across >= -TIE
    # An empty side has the mean 0, below every confidence: the other side is then reliable.
    gain = mean(confidence, counted & ahead) - mean(confidence, counted & ~ahead)
    less_dispersed = mean(dispersion, counted & ahead) <= mean(dispersion, counted & ~ahead)
    reliable = ahead == jnp.where(jnp.abs(gain) > TIE, gain > 0, less_dispersed)

    def squared_distance(values: Array) -> Array:
        center = mean(values, counted & reliable)
        variance = mean(jnp.square(values - center), counted & reliable)
        return jnp.square(values - center) / (variance + VARIANCE_FLOOR)

    outside = jnp.exp(-(squared_distance(confidence) + squared_distance(dispersion)) / 2)
    return jnp.where(counted, jnp.where(reliable, 1, outside), 0)
