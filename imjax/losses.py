"""Losses of one model over one batch: logits in any float type, float32 out.

The generational methods use cross-entropy or `mse_sigmoid`, by dataset (Vorndran & Roeck 2024, arXiv
2401.14387); the joint-training methods use `ce_dice_loss` (SSL4MIS benchmark). `*px` are any pixel axes, a
batch axis among them.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, UInt8

Loss = Float32[Array, ""]

DICE_SMOOTH = 1e-5
"""Added to numerator and denominator of the Dice ratio: a class that neither map has gets the ratio 1."""
LINEAR_DICE_SMOOTH = 1e-7
"""The same of simEps's Dice, whose denominators have no squares."""


def _mean_where(values: Array, counted: Array) -> Array:
    """Mean of the counted values; 0 if there are none."""
    return jnp.where(counted, values, 0).sum() / jnp.maximum(counted.sum(), 1)


def _one_hot(labels: UInt8[Array, "*px"], classes: int) -> Array:
    """Bool `[*px, c]`, all False at void pixels."""
    # A comparison, not an index: the gradient of an indexed pick is a scatter, slow everywhere.
    return labels[..., None] == jnp.arange(classes, dtype=jnp.uint8)


def pixel_cross_entropy(
    logits: Float[Array, "*px c"], labels: UInt8[Array, "*px"], void: int = 255
) -> Float32[Array, "*px"]:
    """Categorical cross-entropy of each pixel in nats; 0, without a gradient, at void pixels."""
    logits = logits.astype(jnp.float32)
    picked = jnp.where(_one_hot(labels, logits.shape[-1]), logits, 0).sum(-1)
    return jnp.where(labels != void, jax.nn.logsumexp(logits, axis=-1) - picked, 0)


def cross_entropy(
    logits: Float[Array, "*px c"],
    labels: UInt8[Array, "*px"],
    void: int = 255,
    weights: Float[Array, "*px"] | None = None,
) -> Loss:
    """Categorical cross-entropy in nats, mean over the pixels that are not void; 0 if all are.

    Args:
        logits: c classes, last.
        labels: class indices, or `void`.
        weights: a factor for each pixel's term, held constant by the caller; none: 1. The sum is divided by
            the number of all pixels that are not void, whatever their weights: a mask of 0 and 1 that keeps
            few pixels makes the loss small, as in FixMatch, and does not give a mean over those few.
    """
    each = pixel_cross_entropy(logits, labels, void)
    return _mean_where(each if weights is None else weights.astype(jnp.float32) * each, labels != void)


def soft_dice(
    logits: Float[Array, "*px c"],
    labels: UInt8[Array, "*px"],
    weights: Float[Array, "*px"] | None = None,
    void: int = 255,
    *,
    squared: bool = True,
) -> Loss:
    """1 − mean over the c classes of (2 Σ w·p·y + s)/(Σ w·p² + Σ w·y² + s); p softmax, y one-hot labels.

    The sums run over the whole batch, without its void pixels; s is `DICE_SMOOTH`, w 1 without `weights`.
    Squared denominators as in V-Net (Milletari et al. 2016, arXiv 1606.04797) and in SSL4MIS; every class
    counts, background included. With `squared=False` they are Σ w·p + Σ w·y and s is `LINEAR_DICE_SMOOTH`, as
    in simEps (IEEE TII 2022, methods.md 2.1).
    """
    true = _one_hot(labels, logits.shape[-1]).astype(jnp.float32)
    p = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    w = (labels != void).astype(jnp.float32)
    w = (w if weights is None else w * weights)[..., None]
    pixels = tuple(range(labels.ndim))
    intersection = (w * p * true).sum(pixels)
    sizes = (w * ((p * p if squared else p) + true)).sum(pixels)
    smooth = DICE_SMOOTH if squared else LINEAR_DICE_SMOOTH
    return 1 - jnp.mean((2 * intersection + smooth) / (sizes + smooth))


def ce_dice_loss(
    logits: Float[Array, "*px c"],
    labels: UInt8[Array, "*px"],
    weights: Float[Array, "*px"] | None = None,
    void: int = 255,
    *,
    squared: bool = True,
) -> Loss:
    """½ (`cross_entropy` + `soft_dice`), both with the weights: the supervised loss of joint training."""
    dice = soft_dice(logits, labels, weights, void, squared=squared)
    return (cross_entropy(logits, labels, void, weights) + dice) / 2


def mse_sigmoid(
    logits: Float[Array, "b h w k"],
    targets: UInt8[Array, "b h w"] | UInt8[Array, "b h w k"],
    scale: Sequence[float] = (1.0,),
    void: int = 255,
) -> Loss:
    """Mean squared error between sigmoid(logits) and scale·target over the entries that are not void.

    Args:
        logits: k outputs; binary: k = 1.
        targets: 0/1, or `void`; binary may leave out the last axis.
        scale: one factor per output, or one for all. HeLa has (1, 1, 3) in arXiv 2401.14387: the target of
            position is 3, beyond the sigmoid's range, so that the gradient toward 1 exceeds that toward 0.

    Raises:
        ValueError: neither one factor nor one per output.
    """
    if len(scale) not in (1, logits.shape[-1]):
        raise ValueError(f"mse_sigmoid: {len(scale)} scale factors for {logits.shape[-1]} outputs")
    if targets.ndim == 3:
        targets = targets[..., None]
    scaled = targets * jnp.asarray(scale, jnp.float32)
    errors = jnp.square(jax.nn.sigmoid(logits.astype(jnp.float32)) - scaled)
    return _mean_where(errors, jnp.broadcast_to(targets != void, errors.shape))


def binary_cross_entropy(logits: Float[Array, "b k"], targets: Float[Array, "b k"]) -> Loss:
    """Mean over batch and outputs of the cross-entropy, in nats, of sigmoid(logits) against 0..1."""
    x = logits.astype(jnp.float32)
    # log(1 + e^-|x|) never overflows, whatever the logit.
    return jnp.mean(jnp.maximum(x, 0) - x * targets + jnp.log1p(jnp.exp(-jnp.abs(x)))).astype(jnp.float32)


def score_loss(
    iou_logits: Float[Array, "b k"],
    iou: Float[Array, "b k"],
    detection_logits: Float[Array, "b k"] | None = None,
    detection: Float[Array, "b k"] | None = None,
) -> Loss:
    """EvalNet's loss: MSE of sigmoid(iou_logits) plus, unless binary, cross-entropy of the detection.

    Args:
        iou_logits, iou: per class; binary: k = 1. Targets in 0..1.
        detection_logits, detection: per class, both or neither (binary). Targets 0 or 1.

    Raises:
        ValueError: only one of the detection arguments is given.
    """
    error = jnp.square(jax.nn.sigmoid(iou_logits.astype(jnp.float32)) - iou).mean().astype(jnp.float32)
    if detection_logits is None and detection is None:
        return error
    if detection_logits is None or detection is None:
        raise ValueError("score_loss: expected both detection_logits and detection, or neither")
    return error + binary_cross_entropy(detection_logits, detection)
