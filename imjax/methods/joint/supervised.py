"""Supervised baseline: the labeled half of every batch and nothing else."""

from __future__ import annotations

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import JointMethod, JointOutputs
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.views import BatchViews


def supervised(nets: StudentForward, views: BatchViews, joint: Joint, with_labeled: bool) -> JointOutputs:
    """Predictions of the labeled images; what the other methods are compared with."""
    # Only the labeled images pass through the net: unlabeled ones would enter its batch statistics.
    labeled, _ = views.split(views.images)
    return JointOutputs([nets(0, labeled).logits], [], [])


METHODS = {"supervised": JointMethod(supervised, num_pairs=lambda joint: 0)}
