"""FixMatch (Sohn et al. 2020, arXiv 2001.07685) for segmentation (UniMatch, arXiv 2208.09910, sec. 3.1)."""

from __future__ import annotations

import jax

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import ConsistencyPair, JointMethod, JointOutputs, hard_cross_entropy
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.views import BatchViews, cutmix_with_next


def fixmatch(nets: StudentForward, views: BatchViews, joint: Joint, with_labeled: bool) -> JointOutputs:
    """The strong view is trained on the confident pseudo-labels of the weak view of the same pixels.

    Loss: ½(L_x + L_u) from the first step on, as in UniMatch's own FixMatch.
    """
    logits = nets(0, views.images).logits
    labeled_logits, _ = views.split(logits)
    unlabeled, labeled = strong_view_pairs(nets, views, joint, logits, with_labeled)
    return JointOutputs([labeled_logits], [unlabeled], labeled)


def strong_view_pairs(
    nets: StudentForward, views: BatchViews, joint: Joint, weak_logits: jax.Array, with_labeled: bool
) -> tuple[ConsistencyPair, list[ConsistencyPair]]:
    """Draw one more strong view and pair its predictions with those of the weak view.

    Args:
        nets, views, joint: of the step.
        weak_logits: `[n + m, *px, c]`, of the weak views.
        with_labeled: whether the labeled images are paired too.

    Returns:
        The pair of the unlabeled images, and those of the labeled ones: one or none.
    """
    # No gradient into the weak view: it provides the pseudo-label only.
    weak = jax.lax.stop_gradient(jax.nn.softmax(weak_logits, -1))
    labeled_reference, unlabeled_reference = views.split(weak)
    images, box = views.strong_views()
    # The reference gets the same CutMix boxes as the strong images, so that both show the same pixels.
    mixed = cutmix_with_next(box, unlabeled_reference)
    if not with_labeled:
        logits = nets(0, images[views.num_labeled :]).logits
        return confident_pair(joint, mixed, logits), []
    labeled_logits, logits = views.split(nets(0, images).logits)
    return confident_pair(joint, mixed, logits), [confident_pair(joint, labeled_reference, labeled_logits)]


def confident_pair(joint: Joint, reference: jax.Array, logits: jax.Array) -> ConsistencyPair:
    """A pair that counts the pixels whose reference reaches `joint.confidence_threshold`."""
    return ConsistencyPair(
        reference, logits, hard_cross_entropy, reference.max(-1) >= joint.confidence_threshold
    )


METHODS = {"fixmatch": JointMethod(fixmatch, uses_rampup=False, loss_scale=0.5)}
