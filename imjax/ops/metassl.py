"""MetaSSL's four regions of two predictions of the same pixels, and the loss that weighs them.

MetaSSL (TMI 2025, arXiv 2509.01144). Of the two predictions one is the *reference*, which gives targets and
confidence, the other the *supervised* one, which is trained; of labeled pixels the two change roles in
`regions` and `update_thresholds`, since there the trained net's own confidence counts. `*px` are any pixel
axes, a batch axis among them; multilabel channels fold into them as two-class problems. Numbers of the
regions: 0 UC, 1 US, 2 DC, 3 DS (unanimous or discrepant, confident or suspicious).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, UInt8

from imjax import losses

Number = float | int

REGIONS = ("UC", "US", "DC", "DS")
"""By number, in the paper's order."""


def _certainty(probabilities: Array) -> tuple[Array, Array]:
    """Each pixel's class as a one-hot bool `[*px, c]`, and its probability, `[*px]`; no gradient."""
    p = jax.lax.stop_gradient(probabilities).astype(jnp.float32)
    return p.argmax(-1)[..., None] == jnp.arange(p.shape[-1]), p.max(-1)


def assign_regions(
    reference: Float[Array, "*px c"],
    supervised: Float[Array, "*px c"],
    thresholds: Float[Array, " c"],
) -> UInt8[Array, "*px"]:
    """Region 0..3 of each pixel.

    Unanimous: both predictions have their largest probability at the same class. Confident: the reference's
    largest probability lies above its class's threshold. Every class takes part, background or not: in the
    released 2-D code only background pixels are UC, so that agreement on an organ has no loss.

    Args:
        reference, supervised: probabilities of c classes.
        thresholds: per class, in 0..1 (`update_thresholds`).
    """
    predicted, top = _certainty(reference)
    # A masked sum, not an index: gathers are slow on accelerators and under `vmap`.
    confident = top > jnp.where(predicted, thresholds, 0).sum(-1)
    unanimous = supervised.argmax(-1) == reference.argmax(-1)
    return (2 * ~unanimous + ~confident).astype(jnp.uint8)


def update_thresholds(
    thresholds: Float[Array, " c"],
    reference: Float[Array, "*px c"],
    counted: Bool[Array, "*px"],
    momentum: float = 0.5,
) -> Float32[Array, " c"]:
    """The thresholds after one batch: τ ← momentum·τ + (1 − momentum)·(mean largest probability), at most 1.

    The mean of a class runs over the counted pixels that the reference gives to it; a class without such a
    pixel keeps its threshold. The paper starts at 0.9 and keeps one state for each net and for labeled and
    unlabeled images.

    Args:
        thresholds: τ of each class, before.
        reference: probabilities.
        counted: False for void pixels.
    """
    predicted, top = _certainty(reference)
    predicted &= counted[..., None]
    pixels = tuple(range(counted.ndim))
    count = predicted.sum(pixels)
    mean = jnp.where(predicted, top[..., None], 0).sum(pixels) / jnp.maximum(count, 1)
    # At most 1: a threshold above it, which rounding could give, would leave no pixel confident.
    updated = jnp.minimum(momentum * thresholds + (1 - momentum) * mean, 1)
    return jnp.where(count > 0, updated, thresholds).astype(jnp.float32)


def region_loss(
    logits: Float[Array, "*px c"],
    target: UInt8[Array, "*px"],
    region: UInt8[Array, "*px"],
    weights: Float[Array, " 4"],
    counted: Bool[Array, "*px"],
) -> losses.Loss:
    """Σ over the regions of w·(Σ cross-entropy in the region)/(pixels of the region + 1), in nats.

    Args:
        logits: of the supervised prediction; the gradient goes there.
        target: class indices: the reference's classes, or the ground truth of labeled images.
        region: of each pixel (`assign_regions`).
        weights: of the regions in the order of `REGIONS` (`region_weights`).
        counted: False for void pixels; a pixel whose target is void (255) is never counted.
    """
    each = losses.pixel_cross_entropy(logits, target)
    inside = _inside(region, counted & (target != 255))
    pixels = tuple(range(region.ndim))
    sums = jnp.where(inside, each[..., None], 0).sum(pixels)
    # Plus 1 in the denominator, as in the paper: a region without a pixel has the loss 0.
    return (weights * sums / (inside.sum(pixels) + 1)).sum().astype(jnp.float32)


def region_shares(region: UInt8[Array, "*px"], counted: Bool[Array, "*px"]) -> Float32[Array, " 4"]:
    """Share of the counted pixels in each region, 0..1; all 0 if no pixel is counted."""
    count = _inside(region, counted).sum(tuple(range(region.ndim)))
    return (count / jnp.maximum(count.sum(), 1)).astype(jnp.float32)


def region_weights(peak: Number, rho: Number, power: Number) -> tuple[float, float, float, float]:
    """Weights peak·exp(−(k·rho)^power) for k = 0, 1, 2, 3: UC, US, DC, DS in the paper's order of trust."""
    first, second, third, fourth = (peak * math.exp(-((k * rho) ** power)) for k in range(4))
    return first, second, third, fourth


def _inside(region: Array, counted: Array) -> Array:
    """Bool `[*px, 4]`: the counted pixels of each region."""
    return (region[..., None] == jnp.arange(4, dtype=jnp.uint8)) & counted[..., None]
