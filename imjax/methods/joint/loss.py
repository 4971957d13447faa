"""The loss of what a host's nets told: supervised, consistency by any weighting of pixels, and the rest.

The weightings are what one can do about a pixel on which predictions differ or are unsure: nothing; leave it
out (the inconsistency mask as a plug-in, methods.md 2.3); trust it by how reliable it looks beside the others
of its image (CSL, methods.md 2.3); or weigh the four regions of MetaSSL differently (methods.md 2.2).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imjax import losses
from imjax.config.joint_schema import Joint
from imjax.data.spec import VOID, DatasetSpec
from imjax.methods.joint.base import ConsistencyPair, JointMethod, JointOutputs, class_names, label_of
from imjax.ops import csl
from imjax.ops import metassl as regions
from imjax.ops.rampup import ramp

Thresholds = dict[str, jax.Array]
"""MetaSSL's, for `unlabeled` and `labeled`, `[exchange, class]`; empty for other weightings."""
NAMES = tuple(name.lower() for name in regions.REGIONS)
SIDES = {"unlabeled": "", "labeled": "labeled_"}
"""Halves of a batch, and how the names of their scalars begin."""


class LossOutput(NamedTuple):
    """One step's loss and what goes with it."""

    loss: jax.Array
    thresholds: Thresholds
    scalars: dict[str, jax.Array]


def weighting(joint: Joint, metassl: bool) -> str:
    """The weighting in force."""
    return "metassl" if metassl else joint.weighting


def first_thresholds(host: JointMethod, joint: Joint, spec: DatasetSpec, chosen: str) -> Thresholds:
    """Thresholds at the first step."""
    if chosen != "metassl":
        return {}
    shape = host.exchanges(joint), len(class_names(spec))
    return {part: jnp.full(shape, joint.metassl.threshold) for part in ("unlabeled", "labeled")}


def scalar_names(host: JointMethod, spec: DatasetSpec, chosen: str) -> tuple[str, ...]:
    """Names in `LossOutput.scalars`."""
    names = ("supervised", "consistency", "ramp", *host.extra)
    if chosen != "metassl":
        return names
    figures = (
        *(f"region_share_{name}" for name in NAMES),
        *(f"threshold_{name}" for name in class_names(spec)),
    )
    return (*names, *(side + figure for side in SIDES.values() for figure in figures))


def total(
    told: JointOutputs,
    label: jax.Array,
    step: jax.Array,
    thresholds: Thresholds,
    *,
    host: JointMethod,
    joint: Joint,
    spec: DatasetSpec,
    chosen: str,
) -> LossOutput:
    """Supervised + ramp · consistency + the host's own (methods.md 2).

    Args:
        told: what the nets said of one batch.
        label: truth of the labeled images, uint8 `[n, *px]`.
        step: of training, from 0.
        thresholds: of this step.
        host, joint, spec: the method, its settings, the dataset.
        chosen: one of `config_joint.WEIGHTINGS`.
    """
    supervised = jnp.asarray(sum(losses.overlap_loss(logits, label) for logits in told.truth), jnp.float32)
    scalars = {"supervised": supervised} | told.extra
    if chosen == "metassl":
        consistency, thresholds, more = _of_regions(told, label, thresholds, host, joint, spec)
        scalars |= more
    else:
        exchanges = (*told.unlabeled, *told.labeled)
        consistency = sum(_weighted(exchange, chosen) for exchange in exchanges)
    rises = host.ramped or chosen == "metassl"
    r = joint.ramp
    factor = ramp(step, r.peak, r.steps, r.unit) if rises else jnp.float32(1)
    scalars |= {"consistency": jnp.asarray(consistency, jnp.float32), "ramp": factor}
    loss = supervised + factor * consistency + sum(told.extra.values())
    return LossOutput(host.scale * loss, thresholds, scalars)


def pixel_weights(exchange: ConsistencyPair, chosen: str) -> jax.Array:
    """What each pixel of an exchange counts, `[b, *px]`, without gradient."""
    reference, supervised = (jax.lax.stop_gradient(x) for x in (exchange.reference, exchange.supervised))
    weights = jnp.ones(reference.shape[:-1], jnp.float32)
    if chosen == "inconsistency":
        weights = (label_of(reference) == label_of(supervised)).astype(jnp.float32)
    elif chosen == "csl":
        weights = jax.vmap(csl.reliability_weights)(reference)
    return weights if exchange.kept is None else weights * exchange.kept


def _weighted(exchange: ConsistencyPair, chosen: str) -> jax.Array:
    weights = pixel_weights(exchange, chosen)
    return exchange.share * exchange.how(exchange.reference, exchange.supervised, weights)


def region_map(exchange: ConsistencyPair, thresholds: jax.Array) -> jax.Array:
    """MetaSSL's region of every pixel, uint8 `[b, *px]`, index into `REGIONS`; thresholds `[class]`."""
    reference, supervised = (jax.lax.stop_gradient(x) for x in (exchange.reference, exchange.supervised))
    return regions.regions(reference, jax.nn.softmax(supervised, -1), thresholds)


def _of_regions(
    told: JointOutputs,
    label: jax.Array,
    thresholds: Thresholds,
    host: JointMethod,
    joint: Joint,
    spec: DatasetSpec,
) -> tuple[jax.Array, Thresholds, dict[str, jax.Array]]:
    """MetaSSL's loss on unlabeled and labeled pixels (methods.md 2.2), the thresholds moved on, figures."""
    momentum, given = joint.metassl.momentum, host.region_weights(joint.metassl)
    sides = zip(SIDES, (told.unlabeled, told.labeled), given, (None, label), strict=True)
    loss, moved, figures = jnp.float32(0), {}, {}
    for side, exchanges, weights, truth in sides:
        rows, shares = [], []
        for exchange, old in zip(exchanges, thresholds[side], strict=True):
            reference = jax.lax.stop_gradient(exchange.reference)
            target = label_of(reference) if truth is None else truth
            counted = target != VOID
            now = regions.update_thresholds(old, reference, counted, momentum)
            region = region_map(exchange, now)
            measured = regions.region_loss(
                exchange.supervised, target, region, jnp.asarray(weights, jnp.float32), counted
            )
            loss += exchange.share * measured
            rows.append(now)
            shares.append(regions.region_shares(region, counted))
        moved[side] = jnp.stack(rows)
        figures |= _figures(SIDES[side], jnp.mean(jnp.stack(shares), 0), moved[side].mean(0), spec)
    return loss, moved, figures


def _figures(side: str, shares: jax.Array, thresholds: jax.Array, spec: DatasetSpec) -> dict[str, jax.Array]:
    """Means over the exchanges, by name."""
    by_region = {f"{side}region_share_{name}": share for name, share in zip(NAMES, shares, strict=True)}
    names = (f"{side}threshold_{name}" for name in class_names(spec))
    return by_region | dict(zip(names, thresholds, strict=True))
