"""Mean Teacher (Tarvainen & Valpola 2017, arXiv 1703.01780, section 2)."""

from __future__ import annotations

import jax

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import ConsistencyPair, JointMethod, JointOutputs, mse_consistency
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.views import BatchViews
from imjax.ops.views import gaussian_noise


def mean_teacher(nets: StudentForward, views: BatchViews, joint: Joint, with_labeled: bool) -> JointOutputs:
    """The student matches the probabilities of its exponential moving average on noisy images.

    Squared difference of the softmaxes. The noise is Gaussian, `joint.teacher_noise` its standard deviation,
    clipped at twice that (the setting of the SSL4MIS benchmark).
    """
    logits = nets(0, views.images).logits
    # Without labeled pairs the teacher sees the unlabeled images alone, and so do its batch statistics.
    first = 0 if with_labeled else views.num_labeled
    sigma = joint.teacher_noise
    noisy = gaussian_noise(nets.next_key(), views.images[first:], sigma, clip=2 * sigma)
    reference = jax.nn.softmax(nets.teacher(noisy), -1)
    labeled_logits, unlabeled_logits = views.split(logits)
    if not with_labeled:
        return JointOutputs(
            [labeled_logits], [ConsistencyPair(reference, unlabeled_logits, mse_consistency)], []
        )
    labeled, unlabeled = (
        ConsistencyPair(*pair, mse_consistency)
        for pair in zip(views.split(reference), (labeled_logits, unlabeled_logits), strict=True)
    )
    return JointOutputs([labeled_logits], [unlabeled], [labeled])


METHODS = {
    "mean_teacher": JointMethod(
        mean_teacher,
        has_teacher=True,
        # MetaSSL's values for Mean Teacher; they do not follow `metassl.region_weights`.
        default_region_weights=((50.0, 40.0, 0.20, 6.4), (50.0, 35.7, 18.2, 25.5)),
    )
}
