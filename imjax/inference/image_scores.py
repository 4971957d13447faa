"""How good a predicted mask is likely to be, from what the nets say alone: scores of one image, 0..1.

docs/how-to/label_loop.md has the rank correlation of each with the true IoU.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from imjax.data.spec import DatasetSpec


class ImageScores(NamedTuple):
    """Scores of one image's masks, the larger the better; NaN where no net has marked anything."""

    agreement: float
    """Pixels on which all nets agree, of those that any net marks; mean over classes. With D pixels of
    disagreement and F of agreed foreground it is F / (F + D)."""
    pairwise_iou: float
    """IoU between the masks of two nets, mean over pairs and classes."""
    expected_iou: float
    """IoU that the mean probabilities promise: expected intersection over expected union with a truth that is
    drawn from them, mean over classes. Needs one net only."""
    mixture: float
    """Mean of `pairwise_iou` and `expected_iou`."""
    mean_probability: float
    """Mean over all pixels of the probability of what was chosen. Easy background decides it: an image of
    which a net misses the object is mostly that. Not NaN."""


def score_image(spec: DatasetSpec, probabilities: np.ndarray) -> ImageScores:
    """Scores of one image.

    Args:
        spec: kind of the labels.
        probabilities: float32 `[net, ..., k]` of each net (or view of one net) at any size; with one the
            nets' agreement says nothing and is 1.
    """
    own = probabilities[..., int(spec.reserved) :]
    masks, mean = _class_masks(spec, own), own.mean(0)
    anyone = np.logical_or.reduce(masks)
    both = mean_over_classes(np.logical_and.reduce(masks), anyone)
    pairs = [
        mean_over_classes(one & other, one | other) for one, other in itertools.combinations(masks, 2)
    ] or [both]
    with np.errstate(invalid="ignore"):
        pairwise = float(np.nanmean(pairs)) if not np.all(np.isnan(pairs)) else float("nan")
    expected = _expected_iou(spec, mean, anyone)
    chosen = np.maximum(mean, 1 - mean) if spec.kind != "multiclass" else mean.max(-1)
    return ImageScores(
        both, pairwise, expected, (pairwise + expected) / 2, float(chosen.mean(dtype=np.float64))
    )


def estimate_quality(spec: DatasetSpec, probabilities: np.ndarray) -> float:
    """Estimated IoU of an image's mask, 0..1: the nets' agreement, which orders images best (see above).

    Of a single net it is the expected IoU. Where nothing is marked it is one less the highest probability of
    any object.

    Args:
        spec, probabilities: as of `score_image`.
    """
    scores = score_image(spec, probabilities)
    quality = scores.agreement if len(probabilities) > 1 else scores.expected_iou
    if np.isnan(quality):
        return float(1 - probabilities.mean(0)[..., int(spec.reserved or spec.background) :].max())
    return quality


def mean_over_classes(intersection: np.ndarray, union: np.ndarray) -> float:
    """IoU from bool `[..., k]`, mean over the classes that the union has; NaN if it has none."""
    axes = tuple(range(union.ndim - 1))
    joint, total = intersection.sum(axes), union.sum(axes)
    return float((joint[total > 0] / total[total > 0]).mean()) if total.any() else float("nan")


def _class_masks(spec: DatasetSpec, probabilities: np.ndarray) -> np.ndarray:
    """Bool `[..., k]` of each class that consists of objects, for one or several nets."""
    if spec.kind == "binary":
        return probabilities > 0.5
    if spec.kind == "multilabel":
        return probabilities >= 0.5
    classes = np.arange(int(spec.background), probabilities.shape[-1])
    return probabilities.argmax(-1)[..., None] == classes


def _expected_iou(spec: DatasetSpec, mean: np.ndarray, marked: np.ndarray) -> float:
    """Of the classes that any net marks, `marked` bool `[..., k]`; 0 where the mean marks nothing of one."""
    masks = _class_masks(spec, mean)
    chance = mean[..., mean.shape[-1] - masks.shape[-1] :].astype(np.float64)
    axes = tuple(range(masks.ndim - 1))
    counted = marked.any(axes)
    if not counted.any():
        return float("nan")
    intersection = (chance * masks).sum(axes)
    union = np.where(masks, 1.0, chance).sum(axes)
    return float((intersection[counted] / union[counted]).mean())
