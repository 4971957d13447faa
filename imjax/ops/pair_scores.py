"""EvalNet's targets for an image-mask pair, and the score and number of copies that follow from its outputs.

Vorndran & Roeck 2024 (arXiv 2401.14387): EvalNet and IM++.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int32, UInt8


def _membership(labels: UInt8[Array, "h w"], classes: int) -> Bool[Array, "h w k"]:
    return labels[..., None] == jnp.arange(classes, dtype=jnp.uint8)


def _at_least(count: Array, share: Array | float, pixels: Array | int) -> Array:
    """count ≥ share·pixels, with a margin for the rounding of the product."""
    # Without it a count of exactly 10 % of the pixels would fail by float32 rounding of 0.1.
    return count >= share * (1 - 1e-6) * pixels


def class_iou(
    *, truth: UInt8[Array, "h w"], prediction: UInt8[Array, "h w"], classes: int, void: int = 255
) -> Float32[Array, " k"]:
    """IoU of each class in one image, void pixels left out; 0 for a class that neither map has."""
    counted = (truth != void)[..., None]
    true, predicted = _membership(truth, classes) & counted, _membership(prediction, classes) & counted
    intersection = (true & predicted).sum((0, 1))
    union = (true | predicted).sum((0, 1))
    return (intersection / jnp.maximum(union, 1)).astype(jnp.float32)


def binary_iou(
    *, truth: UInt8[Array, "h w"], prediction: UInt8[Array, "h w"], empty: int = 1, void: int = 255
) -> Float32[Array, ""]:
    """IoU of the foreground; two empty masks have the value `empty` (`DatasetSpec.empty_iou`).

    1: (I+1)/(U+1), which has a smoothing term, as a target that nets learn and nobody reads; 0: I/(U+1e-7),
    as in arXiv 2401.14387. Multilabel: `jax.vmap` over the channel axis.
    """
    counted = truth != void
    true, predicted = (truth == 1) & counted, (prediction == 1) & counted
    both, union = (true & predicted).sum(), (true | predicted).sum().astype(jnp.float32)
    return (both + 1) / (union + 1) if empty else both / (union + 1e-7)


def class_detection(truth: UInt8[Array, "h w"], classes: int, share: float = 0.01) -> Float32[Array, " k"]:
    """`evalnet`, multiclass: 1 for each class that covers more than `share` of the image's pixels, else 0."""
    covered = _membership(truth, classes).sum((0, 1))
    return (covered > share * truth.size * (1 + 1e-6)).astype(jnp.float32)


def channel_detection(masks: UInt8[Array, "h w k"], shares: Sequence[float]) -> Float32[Array, " k"]:
    """Multilabel: 1 for each channel that covers at least its share of the pixels (HeLa: 0.01, 0.01, 0.001).

    Raises:
        ValueError: not one share per channel.
    """
    h, w, k = masks.shape
    if len(shares) != k:
        raise ValueError(f"channel_detection: {len(shares)} shares for {k} channels")
    covered = (masks == 1).sum((0, 1))
    return _at_least(covered, jnp.asarray(shares, jnp.float32), h * w).astype(jnp.float32)


def blocked_detection(
    *,
    truth: UInt8[Array, "h w"],
    label: UInt8[Array, "h w"],
    inconsistent: Bool[Array, "h w"],
    classes: int,
    kept: float = 0.3,
    area: float = 0.1,
) -> Float32[Array, " k"]:
    """`im_pp`, `aim_pp`, multiclass: 1 for each class that can still be scored in a blocked pair, else 0.

    Class 0 counts if the pair's label has it. Any other class counts if its true pixels outside the IM are
    at least `kept` of all its true pixels, or at least `area` of the image; a class without pixels does not.

    Args:
        truth: ground truth; void pixels belong to no class.
        label: the pair's label, after blocking.
        inconsistent: the pair's IM.
    """
    true = _membership(truth, classes)
    before = true.sum((0, 1))
    after = (true & ~inconsistent[..., None]).sum((0, 1))
    detected = (_at_least(after, kept, before) & (before > 0)) | _at_least(after, area, truth.size)
    return detected.at[0].set((label == 0).any()).astype(jnp.float32)


def pair_score(
    iou: Float[Array, "e k"], detection: Float[Array, "e k"] | None, *, skip_first: bool = False
) -> Float32[Array, ""]:
    """Score of a pair from e EvalNets: mean over them, then mean IoU over the classes they detect.

    Args:
        iou: predicted IoU per class, 0..1; binary: k = 1.
        detection: predicted detection per class, 0..1; a class counts if the EvalNets' mean is ≥ 0.5. None
            (binary): every class counts.
        skip_first: leave out class 0 (`im_pp`, `aim_pp`, where it means "inconsistent").

    Returns:
        0..1; 0 if no class counts.
    """
    mean = iou.astype(jnp.float32).mean(0)
    counts = jnp.ones(mean.shape, bool) if detection is None else detection.mean(0) >= 0.5
    if skip_first:
        counts = counts.at[0].set(False)
    return jnp.where(counts, mean, 0).sum() / jnp.maximum(counts.sum(), 1)


def count_copies(
    score: Float[Array, ""], min_score: Float[Array, ""] | float, max_score: Float[Array, ""] | float
) -> Int32[Array, ""]:
    """Augmented copies of a pair in IM++ and AIM++, 1..5.

    1 for score ≤ min_score, 5 for score > max_score, else min(5, 1 + ⌊(score − min_score)/step⌋) with
    step = (max_score − min_score)/5.
    """
    span = jnp.maximum(jnp.asarray(max_score, jnp.float32) - min_score, 1e-6)
    # A score that is a whole number of steps above min_score must not fall to the step below by rounding.
    steps = jnp.floor(5 * (score - min_score) / span + 1e-4).astype(jnp.int32)
    inner = jnp.clip(1 + steps, 1, 5)
    return jnp.where(score <= min_score, 1, jnp.where(score > max_score, 5, inner)).astype(jnp.int32)
