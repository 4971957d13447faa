"""One net: the supervised baseline, Mean Teacher, FixMatch, UniMatch, CCT and R-Drop (methods.md 2)."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import ConsistencyPair, JointMethod, JointOutputs, divergence, hard, soft
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.views import BatchViews, mix
from imjax.ops import perturb, views


def supervised(nets: StudentForward, seen: BatchViews, joint: Joint, both: bool) -> JointOutputs:
    """The labeled half of every batch, and nothing else: what the others are held against."""
    labeled, _ = seen.parts(seen.images)
    return JointOutputs([nets(0, labeled).logits], [], [])


def mean_teacher(nets: StudentForward, seen: BatchViews, joint: Joint, both: bool) -> JointOutputs:
    """The net agrees with its own moving average, which sees noisy images (Tarvainen & Valpola 2017)."""
    logits = nets(0, seen.images).logits
    n = 0 if both else seen.labeled
    noise = functools.partial(views.gaussian_noise, sigma=joint.teacher_noise, clip=2 * joint.teacher_noise)
    noisy = noise(nets.key(), seen.images[n:])
    reference = jax.nn.softmax(nets.teacher(noisy), -1)
    if not both:
        return JointOutputs([logits[:n]], [ConsistencyPair(reference, logits[n:], soft)], [])
    pairs = zip(seen.parts(reference), seen.parts(logits), strict=True)
    labeled, other = (ConsistencyPair(*pair, soft) for pair in pairs)
    return JointOutputs([labeled.supervised], [other], [labeled])


def fixmatch(nets: StudentForward, seen: BatchViews, joint: Joint, both: bool) -> JointOutputs:
    """The strong view learns what the net is sure of in the weak one (Sohn et al. 2020)."""
    logits = nets(0, seen.images).logits
    truth, _ = seen.parts(logits)
    other, labeled = _strong(nets, seen, joint, logits, both)
    return JointOutputs([truth], [other], labeled)


def unimatch(nets: StudentForward, seen: BatchViews, joint: Joint, both: bool) -> JointOutputs:
    """FixMatch with two strong views, and the weak view with half of its features gone (Yang et al. 2023).

    ½(L_x + ¼ s1 + ¼ s2 + ½ fp); `scale` of the host is the ½ in front.
    """
    key = nets.key()

    def doubled(features):
        keys = jax.random.split(key, len(features))
        drop = functools.partial(perturb.feature_dropout, rate=joint.feature_dropout)
        return [jnp.concatenate([x, drop(k, x)]) for k, x in zip(keys, features, strict=True)]

    logits, dropped = jnp.split(nets(0, seen.images, hook=doubled).logits, 2)
    truth, _ = seen.parts(logits)
    pairs = [_strong(nets, seen, joint, logits, both) for _ in range(2)]
    reference = jax.lax.stop_gradient(jax.nn.softmax(logits, -1))
    parts = zip(seen.parts(reference), seen.parts(dropped), strict=True)
    fewer_labeled, fewer = (_sure(joint, *part) for part in parts)
    shares = (0.25, 0.25, 0.5)
    unlabeled = [*(other for other, _ in pairs), fewer]
    labeled = [*(one for _, ones in pairs for one in ones), fewer_labeled] if both else []
    weigh = lambda exchanges: [e._replace(share=s) for e, s in zip(exchanges, shares, strict=False)]  # noqa: E731
    return JointOutputs([truth], weigh(unlabeled), weigh(labeled))


def _strong(
    nets: StudentForward, seen: BatchViews, joint: Joint, logits: jax.Array, both: bool
) -> tuple[ConsistencyPair, list[ConsistencyPair]]:
    """One more strong view, held against the weak one: of the unlabeled images, and of the labeled."""
    reference, reference_other = seen.parts(jax.lax.stop_gradient(jax.nn.softmax(logits, -1)))
    images, box = seen.strong()
    if both:
        said, said_other = seen.parts(nets(0, images).logits)
    else:
        said_other = nets(0, images[seen.labeled :]).logits
    other = _sure(joint, mix(box, reference_other), said_other)
    return other, [_sure(joint, reference, said)] if both else []


def _sure(joint: Joint, reference: jax.Array, logits: jax.Array) -> ConsistencyPair:
    return ConsistencyPair(reference, logits, hard, reference.max(-1) >= joint.confidence)


def cct(nets: StudentForward, seen: BatchViews, joint: Joint, both: bool) -> JointOutputs:
    """Three auxiliary decoders of perturbed features agree with the main one (Ouali et al. 2020).

    The perturbations: noise, dropout, and the loss of what attention is on.
    """

    def each(function, key):
        return lambda features: [
            function(k, x) for k, x in zip(jax.random.split(key, len(features)), features, strict=True)
        ]

    kinds = (
        perturb.feature_noise,
        functools.partial(perturb.feature_dropout, rate=0.3),
        perturb.attention_drop,
    )
    said = nets(0, seen.images, perturb=tuple(each(kind, nets.key()) for kind in kinds))
    reference = seen.parts(jax.lax.stop_gradient(jax.nn.softmax(said.logits, -1)))
    auxiliary = [seen.parts(logits) for logits in said.auxiliary]
    labeled, other = (
        [ConsistencyPair(reference[part], logits[part], soft, share=1 / 3) for logits in auxiliary]
        for part in (0, 1)
    )
    truth = [seen.parts(said.logits)[0], *(logits[0] for logits in auxiliary)]
    return JointOutputs(truth, other, labeled if both else [])


def rdrop(nets: StudentForward, seen: BatchViews, joint: Joint, both: bool) -> JointOutputs:
    """Two passes with different dropout agree: symmetric KL, gradient into both (Wu et al. 2021)."""
    passes = [seen.parts(nets(0, seen.images).logits) for _ in range(2)]

    def ways(part):
        one, two = (logits[part] for logits in passes)
        pairs = ((one, two), (two, one))
        return [ConsistencyPair(jax.nn.softmax(r, -1), s, divergence, share=0.5) for r, s in pairs]

    return JointOutputs([labeled for labeled, _ in passes], ways(1), ways(0) if both else [])


JOINT_METHODS = {
    "supervised": JointMethod(supervised, exchanges=lambda joint: 0),
    "mean_teacher": JointMethod(
        mean_teacher, teacher=True, regions=((50.0, 40.0, 0.20, 6.4), (50.0, 35.7, 18.2, 25.5))
    ),
    "fixmatch": JointMethod(fixmatch),
    "unimatch": JointMethod(unimatch, exchanges=lambda joint: 3, ramped=False, scale=0.5),
    "cct": JointMethod(cct, exchanges=lambda joint: 3, auxiliaries=3),
    "rdrop": JointMethod(rdrop, exchanges=lambda joint: 2, drops=True),
}
