"""simEps: similarity-constrained ensemble pseudo supervision of several nets (IEEE TII 2022)."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import JointMethod, JointOutputs, ce_dice
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
    outputs = [nets(i, views.images, taps=True) for i in range(settings.num_nets)]
    probabilities = [jax.lax.stop_gradient(jax.nn.softmax(output.logits, -1)) for output in outputs]
    reductions: dict[str, Callable[..., jax.Array]] = {"max": jnp.max, "mean": jnp.mean}
    combine = reductions[settings.reduce]
    references = [
        combine(jnp.stack([p for j, p in enumerate(probabilities) if j != i]), axis=0)
        for i in range(settings.num_nets)
    ]
    features = [_features_by_stage(output, settings.feature_levels) for output in outputs]
    # The method trains on the labeled pairs as well, whatever the weighting of the pixels.
    paired = pair_nets(views, [output.logits for output in outputs], references, ce_dice, with_labeled=True)
    maps = {
        f"similarity, {stage}, net {i}": similarity.gram_matrix(views.split(by_stage[stage])[1])
        for stage in settings.feature_levels
        for i, by_stage in enumerate(features)
    }
    loss = settings.kappa * _similarity_loss(views, features, settings.feature_levels)
    return paired._replace(extra_losses={"similarity": loss}, similarity_maps=maps)


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
    known = output.taps | {"output": jax.nn.softmax(output.logits, -1)}
    return {stage: known[stage] for stage in stages}


METHODS = {
    "simeps": JointMethod(
        simeps,
        num_nets=lambda joint: joint.simeps.num_nets,
        num_pairs=lambda joint: joint.simeps.num_nets,
        extra_losses=("similarity",),
    )
}
