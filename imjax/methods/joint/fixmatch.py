"""FixMatch (Sohn et al. 2020, arXiv 2001.07685) for segmentation (UniMatch, arXiv 2208.09910, sec. 3.1)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import (
    ConsistencyPair,
    JointMethod,
    JointOutputs,
    hard_cross_entropy,
    inconsistency_mask,
)
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.views import BatchViews, cutmix_with_next
from imjax.ops.inconsistency import block_image


def fixmatch(nets: StudentForward, views: BatchViews, joint: Joint, with_labeled: bool) -> JointOutputs:
    """The strong view is trained on the confident pseudo-labels of the weak view of the same pixels.

    Loss: ½(L_x + L_u) from the first step on, as in UniMatch's own FixMatch. With `joint.block_input` the
    strong view is blocked (methods.md 2.3).
    """
    logits = nets(0, views.images).logits
    labeled_logits, _ = views.split(logits)
    inconsistent = teacher_disagreement(nets, views, logits) if joint.block_input else None
    unlabeled, labeled = strong_view_pairs(nets, views, joint, logits, with_labeled, inconsistent)
    return JointOutputs([labeled_logits], [unlabeled], labeled)


def teacher_disagreement(nets: StudentForward, views: BatchViews, weak_logits: jax.Array) -> jax.Array:
    """Where student and teacher disagree on the unlabeled weak views, bool `[m, h, w]`, of volumes with `d`.

    Args:
        nets, views: of the step.
        weak_logits: the student's, `[n + m, *px, c]`.
    """
    _, images = views.split(views.images)
    _, student = views.split(weak_logits)
    return inconsistency_mask(images, student, nets.teacher(images))


def strong_view_pairs(
    nets: StudentForward,
    views: BatchViews,
    joint: Joint,
    weak_logits: jax.Array,
    with_labeled: bool,
    inconsistent: jax.Array | None = None,
) -> tuple[ConsistencyPair, list[ConsistencyPair]]:
    """Draw one more strong view and pair its predictions with those of the weak view.

    Args:
        nets, views, joint: of the step.
        weak_logits: `[n + m, *px, c]`, of the weak views.
        with_labeled: whether the labeled images are paired too.
        inconsistent: pixels of the unlabeled weak views that the strong view is to lack, as of
            `teacher_disagreement`; None: it is whole.

    Returns:
        The pair of the unlabeled images, and those of the labeled ones: one or none.
    """
    # No gradient into the weak view: it provides the pseudo-label only.
    weak = jax.lax.stop_gradient(jax.nn.softmax(weak_logits, -1))
    labeled_reference, unlabeled_reference = views.split(weak)
    images, box = views.strong_views()
    # The reference gets the same CutMix boxes as the strong images, so that both show the same pixels.
    mixed = cutmix_with_next(box, unlabeled_reference)
    if inconsistent is not None:
        # CutMix is all that moves pixels between a weak view and its strong one.
        inconsistent = cutmix_with_next(box, inconsistent)
        labeled_images, unlabeled_images = views.split(images)
        images = jnp.concatenate([labeled_images, block_image(unlabeled_images, inconsistent)])
    if not with_labeled:
        logits = nets(0, images[views.num_labeled :]).logits
        return confident_pair(joint, mixed, logits, inconsistent), []
    labeled_logits, logits = views.split(nets(0, images).logits)
    unlabeled = confident_pair(joint, mixed, logits, inconsistent)
    return unlabeled, [confident_pair(joint, labeled_reference, labeled_logits)]


def confident_pair(
    joint: Joint, reference: jax.Array, logits: jax.Array, inconsistent: jax.Array | None = None
) -> ConsistencyPair:
    """A pair that counts the pixels whose reference reaches `joint.confidence_threshold`."""
    confident = reference.max(-1) >= joint.confidence_threshold
    return ConsistencyPair(reference, logits, hard_cross_entropy, confident, inconsistent=inconsistent)


METHODS = {
    "fixmatch": JointMethod(
        fixmatch,
        # FixMatch has one net and no teacher: it keeps one for the second opinion alone.
        has_teacher=lambda joint: joint.block_input,
        can_block_input=True,
        uses_rampup=False,
        loss_scale=0.5,
    )
}
