"""The loss of a joint method's outputs: supervised, weighted consistency, and the method's own terms.

`joint.pixel_weighting`: how the consistency loss weights pixels on which predictions differ or are unsure.

* `none`: all alike;
* `inconsistency`: pixels whose two predictions disagree are left out (the inconsistency mask of
  arXiv 2401.14387 as a plug-in); with `joint.block_input` those that the method has blocked in the image;
* `csl`: by the reliability of the reference within its image (CSL, arXiv 2509.16704);
* `metassl`: by the four regions of agreement and confidence (MetaSSL, arXiv 2509.01144).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imjax.config.joint_schema import Joint
from imjax.data.spec import VOID, DatasetSpec
from imjax.methods.joint.base import (
    ConsistencyPair,
    JointMethod,
    JointOutputs,
    class_names,
    most_probable_class,
)
from imjax.ops import csl, metassl
from imjax.ops.rampup import sigmoid_rampup

Thresholds = dict[str, jax.Array]
"""MetaSSL's confidence thresholds of `unlabeled` and `labeled` pixels, float32 `[pair, class]`; empty for
other weightings."""
REGION_NAMES = tuple(name.lower() for name in metassl.REGIONS)
METRIC_PREFIXES = {"unlabeled": "", "labeled": "labeled_"}
"""Halves of a batch, and how the names of their metrics begin."""


class LossOutput(NamedTuple):
    """Loss of one step."""

    loss: jax.Array
    thresholds: Thresholds
    """For the next step."""
    metrics: dict[str, jax.Array]
    """Scalars by name, see `metric_names`."""


def initial_thresholds(method: JointMethod, joint: Joint, spec: DatasetSpec) -> Thresholds:
    """MetaSSL's thresholds before the first step."""
    if joint.pixel_weighting != "metassl":
        return {}
    shape = method.num_pairs(joint), len(class_names(spec))
    return {half: jnp.full(shape, joint.metassl.threshold) for half in METRIC_PREFIXES}


def metric_names(method: JointMethod, spec: DatasetSpec, weighting: str) -> tuple[str, ...]:
    """Keys of `LossOutput.metrics`."""
    names = ("supervised", "consistency", "ramp", *method.extra_losses)
    if weighting != "metassl":
        return names
    of_half = (
        *(f"region_share_{name}" for name in REGION_NAMES),
        *(f"threshold_{name}" for name in class_names(spec)),
    )
    return (*names, *(prefix + name for prefix in METRIC_PREFIXES.values() for name in of_half))


def joint_loss(
    outputs: JointOutputs,
    label: jax.Array,
    step: jax.Array,
    thresholds: Thresholds,
    *,
    method: JointMethod,
    joint: Joint,
    spec: DatasetSpec,
) -> LossOutput:
    """`loss_scale` · (supervised + ramp-up · consistency + extra losses); with MetaSSL without the factor.

    Before `joint.warmup_steps` the ramp-up is 0.

    Args:
        outputs: of the method's nets for one batch.
        label: ground truth of the labeled images, uint8 `[n, *px]`.
        step: training steps done, from 0.
        thresholds: of this step.
        method, joint, spec: the method, its settings, the dataset.
    """
    # Summed over nets, not averaged: each net trains as if it were alone.
    supervised = sum(method.supervised_loss(logits, label) for logits in outputs.labeled_logits)
    supervised = jnp.asarray(method.supervised_scale * supervised, jnp.float32)
    metrics = {"supervised": supervised} | outputs.extra_losses
    weighting = joint.pixel_weighting
    if weighting == "metassl":
        consistency, thresholds, more = _metassl_loss(outputs, label, thresholds, method, joint, spec)
        metrics |= more
    else:
        pairs = (*outputs.unlabeled_pairs, *outputs.labeled_pairs)
        consistency = jnp.asarray(sum(_pair_loss(pair, weighting) for pair in pairs), jnp.float32)
    # MetaSSL ramps up beside every method: its loss is large, and its thresholds still move at first.
    rampup = jnp.float32(1)
    if method.uses_rampup or weighting == "metassl":
        begun = jnp.maximum(step - joint.warmup_steps, 0)
        rampup = sigmoid_rampup(begun, joint.rampup.max_weight, joint.rampup.steps, joint.rampup.update_every)
    rampup = jnp.where(step < joint.warmup_steps, 0, rampup)
    metrics |= {"consistency": consistency, "ramp": rampup}
    loss = supervised + rampup * consistency + sum(outputs.extra_losses.values())
    scale = 1.0 if weighting == "metassl" else method.loss_scale
    return LossOutput(scale * loss, thresholds, metrics)


def pixel_weights(pair: ConsistencyPair, weighting: str) -> jax.Array:
    """Weight of each pixel of a pair, float32 `[b, *px]`, without gradient."""
    # Stopped, since a weight with a gradient could be lowered in place of the loss.
    reference, supervised = (jax.lax.stop_gradient(x) for x in (pair.reference, pair.supervised))
    weights = jnp.ones(reference.shape[:-1], jnp.float32)
    if weighting == "inconsistency" and pair.inconsistent is not None:
        # Not where the pair disagrees too: the prediction of the blocked image is what has to be trained.
        extra_axes = tuple(range(pair.inconsistent.ndim, weights.ndim))
        blocked = jnp.expand_dims(pair.inconsistent, extra_axes)
        weights = jnp.where(blocked, 0, weights)
    elif weighting == "inconsistency":
        agree = most_probable_class(reference) == most_probable_class(supervised)
        weights = agree.astype(jnp.float32)
    elif weighting == "csl":
        # By image: reliability is relative to the other pixels of the same image.
        weights = jax.vmap(csl.reliability_weights)(reference)
    return weights if pair.mask is None else weights * pair.mask


def _pair_loss(pair: ConsistencyPair, weighting: str) -> jax.Array:
    weights = pixel_weights(pair, weighting)
    return pair.weight * pair.loss_fn(pair.reference, pair.supervised, weights)


def region_map(pair: ConsistencyPair, thresholds: jax.Array, *, labeled: bool = False) -> jax.Array:
    """MetaSSL's region of every pixel, uint8 `[b, *px]`, index into `REGIONS`.

    Args:
        pair: whose reference decides on confidence; of labeled pixels its supervised prediction.
        thresholds: of the prediction that decides, `[class]`.
        labeled: whether the pixels are labeled.
    """
    deciding, other = _deciding_and_other(pair, labeled)
    return metassl.assign_regions(deciding, other, thresholds)


def _deciding_and_other(pair: ConsistencyPair, labeled: bool) -> tuple[jax.Array, jax.Array]:
    """Probabilities of the prediction whose confidence counts, and of the other one, without gradient."""
    reference = jax.lax.stop_gradient(pair.reference)
    supervised = jax.nn.softmax(jax.lax.stop_gradient(pair.supervised), -1)
    # Ground truth needs no trustworthy reference: what counts there is how sure the trained net itself is.
    return (supervised, reference) if labeled else (reference, supervised)


def _metassl_loss(
    outputs: JointOutputs,
    label: jax.Array,
    thresholds: Thresholds,
    method: JointMethod,
    joint: Joint,
    spec: DatasetSpec,
) -> tuple[jax.Array, Thresholds, dict[str, jax.Array]]:
    """MetaSSL's loss of unlabeled and labeled pixels, the updated thresholds, and metrics by name.

    It replaces the pairs' losses. Targets are the reference's classes, of labeled pixels the ground truth,
    where the confidence is that of the supervised prediction.
    """
    halves = zip(
        METRIC_PREFIXES,
        (outputs.unlabeled_pairs, outputs.labeled_pairs),
        method.region_weights(joint.metassl),
        (None, label),
        strict=True,
    )
    loss = jnp.float32(0)
    updated: Thresholds = {}
    metrics: dict[str, jax.Array] = {}
    for half, pairs, weights, truth in halves:
        rows, shares = [], []
        for pair, old in zip(pairs, thresholds[half], strict=True):
            reference = jax.lax.stop_gradient(pair.reference)
            target = most_probable_class(reference) if truth is None else truth
            counted = target != VOID
            deciding, _ = _deciding_and_other(pair, labeled=truth is not None)
            # Updated before use: the regions of this batch already see its own confidence.
            now = metassl.update_thresholds(old, deciding, counted, joint.metassl.momentum)
            region = region_map(pair, now, labeled=truth is not None)
            region_loss = metassl.region_loss(
                pair.supervised, target, region, jnp.asarray(weights, jnp.float32), counted
            )
            loss += pair.weight * region_loss
            rows.append(now)
            shares.append(metassl.region_shares(region, counted))
        updated[half] = jnp.stack(rows)
        means = jnp.mean(jnp.stack(shares), 0), updated[half].mean(0)
        metrics |= _region_metrics(METRIC_PREFIXES[half], *means, spec)
    return loss, updated, metrics


def _region_metrics(
    prefix: str, shares: jax.Array, thresholds: jax.Array, spec: DatasetSpec
) -> dict[str, jax.Array]:
    """Shares of the regions `[4]` and thresholds `[class]`, means over the pairs, by name."""
    regions = (f"{prefix}region_share_{name}" for name in REGION_NAMES)
    classes = (f"{prefix}threshold_{name}" for name in class_names(spec))
    return dict(zip(regions, shares, strict=True)) | dict(zip(classes, thresholds, strict=True))
