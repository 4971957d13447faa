"""Mean Teacher (Tarvainen & Valpola 2017, arXiv 1703.01780, section 2)."""

from __future__ import annotations

import jax

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import (
    ConsistencyPair,
    JointMethod,
    JointOutputs,
    inconsistency_mask,
    mse_consistency,
)
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.views import BatchViews
from imjax.ops.inconsistency import block_image
from imjax.ops.views import gaussian_noise


def mean_teacher(nets: StudentForward, views: BatchViews, joint: Joint, with_labeled: bool) -> JointOutputs:
    """The student matches the probabilities of its exponential moving average on noisy images.

    Squared difference of the softmaxes. The noise is Gaussian, `joint.teacher_noise` its standard deviation,
    clipped at twice that (the setting of the SSL4MIS benchmark). With `joint.block_input` the student learns
    on blocked images (methods.md 2.3).
    """
    logits = nets(0, views.images).logits
    # Without labeled pairs the teacher sees the unlabeled images alone, and so do its batch statistics.
    first = 0 if with_labeled else views.num_labeled
    sigma = joint.teacher_noise
    noisy = gaussian_noise(nets.next_key(), views.images[first:], sigma, clip=2 * sigma)
    reference = jax.nn.softmax(nets.teacher(noisy), -1)
    labeled_logits, unlabeled_logits = views.split(logits)
    if joint.block_input:
        pair = _blocked_pair(nets, views, reference[-len(unlabeled_logits) :], unlabeled_logits)
        return JointOutputs([labeled_logits], [pair], [])
    if not with_labeled:
        return JointOutputs(
            [labeled_logits], [ConsistencyPair(reference, unlabeled_logits, mse_consistency)], []
        )
    labeled, unlabeled = (
        ConsistencyPair(*pair, mse_consistency)
        for pair in zip(views.split(reference), (labeled_logits, unlabeled_logits), strict=True)
    )
    return JointOutputs([labeled_logits], [unlabeled], [labeled])


def _blocked_pair(
    nets: StudentForward, views: BatchViews, reference: jax.Array, unlabeled_logits: jax.Array
) -> ConsistencyPair:
    """The student predicts the unlabeled images again, blocked where it and the teacher disagree."""
    _, images = views.split(views.images)
    inconsistent = inconsistency_mask(images, reference, unlabeled_logits)
    supervised = nets(0, block_image(images, inconsistent)).logits
    return ConsistencyPair(reference, supervised, mse_consistency, inconsistent=inconsistent)


METHODS = {
    "mean_teacher": JointMethod(
        mean_teacher,
        has_teacher=lambda joint: True,
        can_block_input=True,
        # MetaSSL's values for Mean Teacher; they do not follow `metassl.region_weights`.
        default_region_weights=((50.0, 40.0, 0.20, 6.4), (50.0, 35.7, 18.2, 25.5)),
    )
}
