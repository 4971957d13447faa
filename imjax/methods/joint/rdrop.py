"""R-Drop (Wu et al. 2021, arXiv 2106.14448, section 2)."""

from __future__ import annotations

import jax

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import ConsistencyPair, JointMethod, JointOutputs, kl_divergence
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.views import BatchViews


def rdrop(nets: StudentForward, views: BatchViews, joint: Joint, with_labeled: bool) -> JointOutputs:
    """Two passes with different dropout match each other: symmetric KL, ½ in each direction."""
    passes = [views.split(nets(0, views.images).logits) for _ in range(2)]

    def symmetric_pairs(half):
        first, second = (logits[half] for logits in passes)
        # No stop_gradient on the reference: both passes are trained, as in the paper.
        return [
            ConsistencyPair(jax.nn.softmax(reference, -1), supervised, kl_divergence, weight=0.5)
            for reference, supervised in ((first, second), (second, first))
        ]

    labeled_logits = [labeled for labeled, _ in passes]
    return JointOutputs(labeled_logits, symmetric_pairs(1), symmetric_pairs(0) if with_labeled else [])


METHODS = {"rdrop": JointMethod(rdrop, num_pairs=lambda joint: 2, needs_dropout=True)}
