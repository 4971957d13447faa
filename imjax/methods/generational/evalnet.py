"""EvalNets score masks: the method `evalnet`, and the examples that EvalNets learn from (arXiv 2401.14387).

The method: every candidate of the last generation (at first LDT's) predicts a mask of every unlabeled image,
EvalNets score these masks and the one kept so far, and the best one is kept if its score reaches a threshold.
Kept images join the labeled set as they are and stay in it. Its EvalNets learn from single masks of the LDT
and ALDT candidates (`candidate_example`), those of IM++ and AIM++ from blocked pairs of drawn ensembles
(`ensemble_example`).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imjax.data.spec import VOID, DatasetSpec
from imjax.methods.generational.base import GenerationalMethod
from imjax.ops import augment, inconsistency, pair_scores

METHODS = {"evalnet": GenerationalMethod("ldt", labeler_selection="all")}


class EvalNetExample(NamedTuple):
    """One training example of EvalNet: inputs and targets."""

    image: jax.Array
    """uint8 `[h, w, c]`; of ensembles with inconsistent pixels set to 0."""
    mask: jax.Array
    """uint8 label to score; of ensembles blocked like the image."""
    iou: jax.Array
    """float32 `[k]`: IoU of the mask with the ground truth, per output."""
    detection: jax.Array
    """float32 `[k]`, 0 or 1: whether the output counts."""


def candidate_example(
    image: jax.Array, truth: jax.Array, mask: jax.Array, *, spec: DatasetSpec
) -> EvalNetExample:
    """Targets for one candidate's mask of an image, or for the ground truth itself; no augmentation.

    Args:
        image: uint8 `[h, w, c]`.
        truth: uint8 label.
        mask: uint8 label to score; void pixels, which the ground truth may have, become 0.
        spec: of the dataset.
    """
    # EvalNet's input has one plane per class, and none for void.
    mask = jnp.where(mask == VOID, jnp.uint8(0), mask)
    iou = _iou(spec, truth, mask)
    if spec.kind == "binary":
        return EvalNetExample(image, mask, iou, jnp.ones(1))
    if spec.kind == "multiclass":
        detection = pair_scores.class_detection(truth, spec.outputs)
    else:
        detection = pair_scores.channel_detection(truth, spec.detection_shares)
    # Without a detection no score counts the class; the published target is 0 there.
    return EvalNetExample(image, mask, iou * detection, detection)


def ensemble_example(
    key: jax.Array,
    image: jax.Array,
    truth: jax.Array,
    members: jax.Array,
    erode: jax.Array,
    dilate: jax.Array,
    *,
    spec: DatasetSpec,
    strength: augment.AugmentStrength,
) -> EvalNetExample:
    """Block an image and a drawn ensemble's consensus, compute the targets, and with p ½ augment the pair.

    Args:
        key: for the augmentation.
        image: uint8 `[h, w, c]`.
        truth: uint8 label.
        members: uint8 labels of the drawn candidates, `[n, ...]`; repeats count once.
        erode, dilate: kernel sizes for the inconsistency mask, traced, of `morphology.CHOICES`.
        spec: of the dataset.
        strength: of the augmentation.
    """
    pair = inconsistency.make_pseudo_label(
        # Pixels that the erosion frees keep class 0: the published data for EvalNets dilates no label.
        spec.kind, members, classes=max(spec.outputs, 2), erode=erode, dilate=dilate, dilate_label=False,
    )  # fmt: skip
    image, label = inconsistency.block(image, pair.label, pair.inconsistent)
    # Before the augmentation, which moves image and label but not the ground truth.
    iou, detection = blocked_targets(truth, label, pair.inconsistent, spec=spec)
    decide_key, augment_key = jax.random.split(key)
    augmented = augment.augment(
        augment_key, image, label, strength, rotation_invariant=spec.rotation_invariant
    )
    use = jax.random.bernoulli(decide_key)
    image, label = (jnp.where(use, new, old) for new, old in zip(augmented, (image, label), strict=True))
    return EvalNetExample(image, label, iou, detection)


def blocked_targets(
    truth: jax.Array, label: jax.Array, inconsistent: jax.Array, *, spec: DatasetSpec
) -> tuple[jax.Array, jax.Array]:
    """IoU and detection per output, float32 `[k]`, of a blocked label against the unblocked ground truth."""
    iou = _iou(spec, truth, label)
    if spec.kind == "binary":
        return iou, jnp.ones(1)
    if spec.kind == "multilabel":
        return iou, pair_scores.channel_detection(truth, spec.detection_shares)
    return iou, pair_scores.blocked_detection(
        truth=truth, label=label, inconsistent=inconsistent, classes=spec.outputs
    )


def true_score(
    truth: jax.Array, label: jax.Array, inconsistent: jax.Array, *, spec: DatasetSpec
) -> jax.Array:
    """Score of a blocked pair by the ground truth (GT-IM++): mean IoU with the truth, which is blocked too.

    Multiclass: over the classes of the blocked truth, class 0, which it has under the mask, included.
    Multilabel: over its channels that are not empty. A pair with much of it blocked thus scores high: what is
    left must be right, not complete.
    """
    blocked = inconsistent if truth.ndim == 2 else inconsistent[..., None]
    truth = jnp.where(blocked & (truth != VOID), jnp.uint8(0), truth)
    iou = _iou(spec, truth, label)
    if spec.kind == "binary":
        return iou[0]
    classes = jnp.arange(spec.outputs, dtype=jnp.uint8)
    present = (truth[..., None] == classes if spec.kind == "multiclass" else truth == 1).any((0, 1))
    return pair_scores.pair_score(iou[None], present[None].astype(jnp.float32))


def pair_score(
    iou: jax.Array, detection: jax.Array, *, spec: DatasetSpec, skip_first: bool = False
) -> jax.Array:
    """Score 0..1 of one pair from EvalNets' outputs `[net, k]`; binary EvalNets have no detection."""
    return pair_scores.pair_score(iou, None if spec.kind == "binary" else detection, skip_first=skip_first)


def _iou(spec: DatasetSpec, truth: jax.Array, label: jax.Array) -> jax.Array:
    if spec.kind == "multiclass":
        return pair_scores.class_iou(truth=truth, prediction=label, classes=spec.outputs)
    if spec.kind == "binary":
        return pair_scores.binary_iou(truth=truth, prediction=label, empty=spec.empty_iou)[None]

    def channel_iou(truth, label):
        return pair_scores.binary_iou(truth=truth, prediction=label, empty=spec.empty_iou)

    return jax.vmap(channel_iou, in_axes=-1)(truth, label)
