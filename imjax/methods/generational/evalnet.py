"""EvalNets judge masks: the method `evalnet`, and the pairs that EvalNets learn from (methods.md 1.2, 1.6).

The method: every candidate of the last generation (LDT's at first) gives a mask of every unlabeled image,
EvalNets score them and the mask kept so far, and the best one is kept if its score reaches a threshold. Kept
images join the labeled set as they are; what was kept stays. Its EvalNets learn from single masks of the LDT
and ALDT candidates (`candidate_pair`), those of IM++ and AIM++ from blocked pairs of drawn ensembles
(`ensemble_pair`).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imjax.data.spec import VOID, DatasetSpec
from imjax.methods.generational.base import GenerationalMethod
from imjax.ops import augment, inconsistency, pair_scores

GENERATIONAL_METHODS = {"evalnet": GenerationalMethod("ldt", labeled_by="all")}


class Pair(NamedTuple):
    """What one EvalNet example holds."""

    image: jax.Array
    """uint8 `[h, w, c]`, blocked."""
    mask: jax.Array
    """uint8 pseudo-label, blocked."""
    iou: jax.Array
    """float32 `[k]`: of the mask against the truth, per output."""
    detection: jax.Array
    """float32 `[k]`, 0 or 1: whether the output counts."""


def candidate_pair(image: jax.Array, truth: jax.Array, mask: jax.Array, *, spec: DatasetSpec) -> Pair:
    """Score one candidate's mask of an image, or the truth itself; no augmentation.

    Args:
        image: uint8 `[h, w, c]`.
        truth: uint8 label.
        mask: uint8 label to score; void pixels, which the truth as a mask has, become 0.
        spec: of the dataset.
    """
    mask = jnp.where(mask == VOID, jnp.uint8(0), mask)
    iou = _iou(spec, truth, mask)
    if spec.kind == "binary":
        return Pair(image, mask, iou, jnp.ones(1))
    if spec.kind == "multiclass":
        return Pair(image, mask, iou, pair_scores.class_detection(truth, spec.outputs))
    return Pair(image, mask, iou, pair_scores.channel_detection(truth, spec.detection_shares))


def ensemble_pair(
    key: jax.Array,
    image: jax.Array,
    truth: jax.Array,
    members: jax.Array,
    erode: jax.Array,
    dilate: jax.Array,
    *,
    spec: DatasetSpec,
    strength: augment.AugmentStrength,
) -> Pair:
    """Block an image and a drawn ensemble's consensus, score it, and with p ½ augment it.

    Args:
        key: for the augmentation.
        image: uint8 `[h, w, c]`.
        truth: uint8 label.
        members: uint8 labels of the drawn candidates, `[n, ...]`; repeats count once.
        erode, dilate: kernel sizes for the inconsistency mask, traced, of `morphology.CHOICES`.
        spec: of the dataset.
        strength: of the augmentation, mild.
    """
    pair = inconsistency.mask_pair(
        spec.kind, members, classes=max(spec.outputs, 2), erode=erode, dilate=dilate,
        dilate_channels=spec.dilate_channels,
    )  # fmt: skip
    image, label = inconsistency.block(image, pair.label, pair.inconsistent)
    iou, detection = blocked_targets(truth, label, pair.inconsistent, spec=spec)
    decide, draw = jax.random.split(key)
    changed = augment.augment(draw, image, label, strength, rotation_invariant=spec.rotation_invariant)
    use = jax.random.bernoulli(decide)
    image, label = (jnp.where(use, new, old) for new, old in zip(changed, (image, label), strict=True))
    return Pair(image, label, iou, detection)


def blocked_targets(
    truth: jax.Array, label: jax.Array, inconsistent: jax.Array, *, spec: DatasetSpec
) -> tuple[jax.Array, jax.Array]:
    """IoU and detection per output, float32 `[k]`, of a blocked label against the whole truth."""
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
    """The score of a blocked pair that an EvalNet without error would give (GT-IM++)."""
    iou, detection = blocked_targets(truth, label, inconsistent, spec=spec)
    return pair_score(iou[None], detection[None], spec=spec, skip_first=spec.reserved)


def pair_score(
    iou: jax.Array, detection: jax.Array, *, spec: DatasetSpec, skip_first: bool = False
) -> jax.Array:
    """Score of one pair from what EvalNets say, `[net, k]` each; binary nets detect nothing."""
    return pair_scores.pair_score(iou, None if spec.kind == "binary" else detection, skip_first=skip_first)


def _iou(spec: DatasetSpec, truth: jax.Array, label: jax.Array) -> jax.Array:
    if spec.kind == "multiclass":
        return pair_scores.class_iou(truth=truth, prediction=label, classes=spec.outputs)
    if spec.kind == "binary":
        return pair_scores.binary_iou(truth=truth, prediction=label)[None]
    return jax.vmap(lambda t, p: pair_scores.binary_iou(truth=t, prediction=p), in_axes=-1)(truth, label)
