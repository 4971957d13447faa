"""EvalNet's training pairs for IM++ and AIM++ (method.md 1.6), for one image."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imjax.data.spec import DatasetSpec
from imjax.ops import augment, inconsistency, scores


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


def make_pair(
    key: jax.Array,
    image: jax.Array,
    truth: jax.Array,
    members: jax.Array,
    erode: jax.Array,
    dilate: jax.Array,
    *,
    spec: DatasetSpec,
    strength: augment.Strength,
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
    iou, detection = _targets(spec, truth, label, pair.inconsistent)
    decide, draw = jax.random.split(key)
    changed = augment.augment(draw, image, label, strength, free_rotation=spec.free_rotation)
    use = jax.random.bernoulli(decide)
    image, label = (jnp.where(use, new, old) for new, old in zip(changed, (image, label), strict=True))
    return Pair(image, label, iou, detection)


def _targets(
    spec: DatasetSpec, truth: jax.Array, label: jax.Array, inconsistent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    if spec.kind == "binary":
        return scores.binary_iou(truth=truth, prediction=label)[None], jnp.ones(1)
    if spec.kind == "multiclass":
        k = spec.outputs
        iou = scores.class_iou(truth=truth, prediction=label, classes=k)
        found = scores.blocked_detection(truth=truth, label=label, inconsistent=inconsistent, classes=k)
        return iou, found
    iou = jax.vmap(lambda t, p: scores.binary_iou(truth=t, prediction=p), in_axes=-1)(truth, label)
    return iou, scores.channel_detection(truth, spec.detection_shares)
