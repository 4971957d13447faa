"""UniMatch (Yang et al. 2023, arXiv 2208.09910, sections 3.2 to 3.4)."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import JointMethod, JointOutputs
from imjax.methods.joint.fixmatch import (
    confident_pair,
    has_teacher,
    label_weak_views,
    strong_view_pairs,
)
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.views import BatchViews
from imjax.ops import perturb

WEIGHTS = (0.25, 0.25, 0.5)
"""Of the two strong views and of the feature stream."""


def unimatch(nets: StudentForward, views: BatchViews, joint: Joint, with_labeled: bool) -> JointOutputs:
    """FixMatch with two strong views and a weak view whose features are partly dropped.

    Loss: ½(L_x + ¼ L_s1 + ¼ L_s2 + ½ L_fp); the ½ in front is the method's `loss_scale`. With
    `joint.block_input` both strong views are blocked (methods.md 2.3).
    """
    key = nets.next_key()

    def with_dropped_copy(features):
        keys = jax.random.split(key, len(features))
        drop = functools.partial(perturb.feature_dropout, rate=joint.feature_dropout)
        return [jnp.concatenate([x, drop(k, x)]) for k, x in zip(keys, features, strict=True)]

    # One encoder pass for both streams: the decoder gets the features and their dropped copy as one batch.
    logits, dropped_logits = jnp.split(nets(0, views.images, hook=with_dropped_copy).logits, 2)
    labeled_logits, _ = views.split(logits)
    labels = label_weak_views(nets, views, joint, logits, with_labeled)
    strong = [strong_view_pairs(nets, views, joint, labels, with_labeled) for _ in range(2)]
    streams = zip(views.split(labels.reference), views.split(dropped_logits), strict=True)
    labeled_stream, unlabeled_stream = (confident_pair(joint, *stream) for stream in streams)
    # The image of this stream is whole: its encoder pass is the one of the predictions that are compared.
    unlabeled_stream = unlabeled_stream._replace(inconsistent=labels.inconsistent)
    unlabeled = [*(pair for pair, _ in strong), unlabeled_stream]
    labeled = [*(pair for _, pairs in strong for pair in pairs), labeled_stream] if with_labeled else []
    return JointOutputs([labeled_logits], _set_weights(unlabeled), _set_weights(labeled))


def _set_weights(pairs):
    return [pair._replace(weight=weight) for pair, weight in zip(pairs, WEIGHTS, strict=False)]


METHODS = {
    "unimatch": JointMethod(
        unimatch,
        num_pairs=lambda joint: 3,
        has_teacher=has_teacher,
        can_block_input=True,
        has_confident_labels=True,
        uses_rampup=False,
        loss_scale=0.5,
    ),
}
