"""simEps: similarity-constrained ensemble pseudo supervision of several nets (IEEE TII 2022)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from imjax import losses
from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import JointMethod, JointOutputs, ce_linear_dice
from imjax.methods.joint.cps import pair_nets
from imjax.methods.joint.forward import NetOutput, StudentForward
from imjax.methods.joint.views import BatchViews
from imjax.ops import similarity

Features = list[dict[str, jax.Array]]
"""Of each net, by stage: `encoder`, `decoder`, `output`; `[n + m, ...]`."""


def simeps(nets: StudentForward, views: BatchViews, joint: Joint, with_labeled: bool) -> JointOutputs:
    """Each net is trained on the combined pseudo-label of the others, and all agree which images are alike.

    Pseudo-labels on unlabeled and labeled images; the similarity loss is summed over the pairs of nets, the
    two halves of the batch and the stages in `joint.simeps.feature_levels`.
    """
    settings = joint.simeps
    outputs = [_predict_halves_apart(nets, i, views) for i in range(settings.num_nets)]
    probabilities = [jax.lax.stop_gradient(jax.nn.softmax(output.logits, -1)) for output in outputs]
    reductions: dict[str, Callable[..., jax.Array]] = {"max": jnp.max, "mean": jnp.mean}
    combine = reductions[settings.reduce]
    references = [
        combine(jnp.stack([p for j, p in enumerate(probabilities) if j != i]), axis=0)
        for i in range(settings.num_nets)
    ]
    features = [_features_by_stage(output, settings.feature_levels) for output in outputs]
    # The method trains on the labeled pairs as well, whatever the weighting of the pixels.
    paired = pair_nets(
        views, [output.logits for output in outputs], references, ce_linear_dice, with_labeled=True
    )
    maps = {
        f"similarity, {stage}, net {i}": similarity.gram_matrix(views.split(by_stage[stage])[1])
        for stage in settings.feature_levels
        for i, by_stage in enumerate(features)
    }
    loss = settings.kappa * _similarity_loss(views, features, settings.feature_levels)
    return paired._replace(extra_losses={"similarity": loss}, similarity_maps=maps)


def _predict_halves_apart(nets: StudentForward, index: int, views: BatchViews) -> NetOutput:
    """Net `index` on the labeled images and then on the others, put together again.

    Two passes, as published: each half is normalized by its own batch statistics.
    """
    halves = [nets(index, images, taps=True) for images in views.split(views.images)]
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *halves)


def _similarity_loss(views: BatchViews, features: Features, stages: tuple[str, ...]) -> jax.Array:
    # The halves are compared apart: G is the similarity within one half, so b is n or m, not n + m.
    loss = sum(
        similarity.similarity_loss(a, b)
        for stage in stages
        for first, second in itertools.combinations(features, 2)
        for a, b in zip(views.split(first[stage]), views.split(second[stage]), strict=True)
    )
    return jnp.asarray(loss, jnp.float32)


def _features_by_stage(output: NetOutput, stages: tuple[str, ...]) -> dict[str, jax.Array]:
    # Logits, as published: a softmax of confident nets has lengths near 1 and a similarity near 0 or 1, so
    # that little of the term would be left.
    known = output.taps | {"output": output.logits}
    return {stage: known[stage] for stage in stages}


METHODS = {
    "simeps": JointMethod(
        simeps,
        num_nets=lambda joint: joint.simeps.num_nets,
        num_pairs=lambda joint: joint.simeps.num_nets,
        supervised_loss=functools.partial(losses.ce_dice_loss, squared=False),
        extra_losses=("similarity",),
    )
}
