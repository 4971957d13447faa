"""Losses of one model over one batch: logits in any float type, a float32 scalar out.

Choices per dataset: Vorndran & Roeck 2024 (arXiv 2401.14387), method.md 1.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, UInt8

Loss = Float32[Array, ""]


def _mean_where(values: Array, counted: Array) -> Array:
    """Mean of the counted values; 0 if there are none."""
    return jnp.where(counted, values, 0).sum() / jnp.maximum(counted.sum(), 1)


def cross_entropy(logits: Float[Array, "b h w k"], labels: UInt8[Array, "b h w"], void: int = 255) -> Loss:
    """Categorical cross-entropy in nats, mean over the pixels that are not void; 0 if all are."""
    logits = logits.astype(jnp.float32)
    # One-hot, not an index: the gradient of an indexed pick is a scatter, slow everywhere.
    true = labels[..., None] == jnp.arange(logits.shape[-1], dtype=jnp.uint8)
    picked = jnp.where(true, logits, 0).sum(-1)
    return _mean_where(jax.nn.logsumexp(logits, axis=-1) - picked, labels != void)


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
        scale: one factor per output, or one for all. The study trains HeLa with (1, 1, 3): the position
            target is 3, out of the sigmoid's reach, which pulls harder towards 1 than towards 0.

    Raises:
        ValueError: neither one factor nor one per output.
    """
    if len(scale) not in (1, logits.shape[-1]):
        raise ValueError(f"mse_sigmoid: {len(scale)} scale factors for {logits.shape[-1]} outputs")
    if targets.ndim == 3:
        targets = targets[..., None]
    wanted = targets * jnp.asarray(scale, jnp.float32)
    errors = jnp.square(jax.nn.sigmoid(logits.astype(jnp.float32)) - wanted)
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
        iou_logits, iou: per class; binary: k = 1. Truth in 0..1.
        detection_logits, detection: per class, both or neither (binary). Truth 0 or 1.

    Raises:
        ValueError: only one of the detection arguments is given.
    """
    error = jnp.square(jax.nn.sigmoid(iou_logits.astype(jnp.float32)) - iou).mean().astype(jnp.float32)
    if (detection_logits is None) != (detection is None):
        raise ValueError("score_loss: detection_logits and detection go together")
    if detection_logits is None:
        return error
    return error + binary_cross_entropy(detection_logits, detection)
