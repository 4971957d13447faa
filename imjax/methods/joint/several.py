"""Methods of several nets that start differently: CPS and simEps (methods.md 2, 2.1)."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import ConsistencyPair, JointMethod, JointOutputs, hard, overlap
from imjax.methods.joint.forward import Seen, StudentForward
from imjax.methods.joint.views import BatchViews
from imjax.ops import similarity


def cps(nets: StudentForward, seen: BatchViews, joint: Joint, both: bool) -> JointOutputs:
    """Two nets learn each other's most probable class (Chen et al. 2021).

    Of unlabeled images, and with `joint.cps_labeled` of labeled ones too.
    """
    said = [nets(i, seen.images).logits for i in range(2)]
    references = [jax.lax.stop_gradient(jax.nn.softmax(logits, -1)) for logits in said]
    return _told(seen, said, references[::-1], hard, both or joint.cps_labeled)


def simeps(nets: StudentForward, seen: BatchViews, joint: Joint, both: bool) -> JointOutputs:
    """Each net learns what the surest of the others says, and all see the same likeness between images.

    Pseudo-labels on unlabeled and labeled images; the similarity loss is summed over the pairs of nets, the
    two halves of the batch and the stages that `joint.simeps` names (methods.md 2.1).
    """
    settings = joint.simeps
    said = [nets(i, seen.images, taps=True) for i in range(settings.nets)]
    sure = [jax.lax.stop_gradient(jax.nn.softmax(s.logits, -1)) for s in said]
    combine = {"max": jnp.max, "mean": jnp.mean}[settings.combine]
    references = [
        combine(jnp.stack([p for j, p in enumerate(sure) if j != i]), axis=0) for i in range(settings.nets)
    ]
    features = [_features(s, settings.stages) for s in said]
    likeness = sum(
        similarity.similarity_loss(a, b)
        for stage in settings.stages
        for one, two in itertools.combinations(features, 2)
        for a, b in zip(seen.parts(one[stage]), seen.parts(two[stage]), strict=True)
    )
    told = _told(seen, [s.logits for s in said], references, overlap, both=True)
    maps = {
        f"similarity, {stage}, net {i}": similarity.gram(seen.parts(f[stage])[1])
        for stage in settings.stages
        for i, f in enumerate(features)
    }
    extra = {"similarity": settings.kappa * jnp.asarray(likeness, jnp.float32)}
    return told._replace(extra=extra, maps=maps)


def _told(
    seen: BatchViews, said: list[jax.Array], references: list[jax.Array], how, both: bool
) -> JointOutputs:
    """Each net's logits against its reference, on both halves of the batch."""
    halves = [
        [ConsistencyPair(r, s, how) for r, s in zip(seen.parts(reference), seen.parts(logits), strict=True)]
        for reference, logits in zip(references, said, strict=True)
    ]
    labeled, other = (list(half) for half in zip(*halves, strict=True))
    return JointOutputs([exchange.supervised for exchange in labeled], other, labeled if both else [])


def _features(seen: Seen, stages: tuple[str, ...]) -> dict[str, jax.Array]:
    output = {"output": jax.nn.softmax(seen.logits, -1)}
    return {stage: (seen.taps | output)[stage] for stage in stages}


JOINT_METHODS = {
    "cps": JointMethod(cps, nets=lambda joint: 2, exchanges=lambda joint: 2),
    "simeps": JointMethod(
        simeps,
        nets=lambda joint: joint.simeps.nets,
        exchanges=lambda joint: joint.simeps.nets,
        extra=("similarity",),
    ),
}
