"""FixMatch (Sohn et al. 2020, arXiv 2001.07685) for segmentation (UniMatch, arXiv 2208.09910, sec. 3.1)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import (
    ConsistencyPair,
    JointMethod,
    JointOutputs,
    hard_cross_entropy,
    hard_dice,
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
    # A student that neither labels nor disputes need not see the weak views of the unlabeled images: a third
    # of the work of a step.
    if joint.labeler == "teacher" and not (joint.block_input or with_labeled):
        return _learn_from_teacher(nets, views, joint)
    logits = nets(0, views.images).logits
    labeled_logits, _ = views.split(logits)
    labels = label_weak_views(nets, views, joint, logits, with_labeled)
    unlabeled, labeled = strong_view_pairs(nets, views, joint, labels, with_labeled)
    return JointOutputs([labeled_logits], [unlabeled], labeled)


def _learn_from_teacher(nets: StudentForward, views: BatchViews, joint: Joint) -> JointOutputs:
    """The teacher labels weak views; one pass of the student has the labeled images and the strong views."""
    labeled_images, unlabeled_images = views.split(views.images)
    reference = _as_reference(nets.teacher(unlabeled_images))
    strong, box = views.strong_views()
    images = jnp.concatenate([labeled_images, views.split(strong)[1]])
    labeled_logits, logits = views.split(nets(0, images).logits)
    pair = confident_pair(joint, cutmix_with_next(box, reference), logits)
    return JointOutputs([labeled_logits], [pair], [])


class WeakLabels(NamedTuple):
    """What the weak views are taken to show."""

    reference: jax.Array
    """Probabilities `[n + m, *px, c]`, without gradient."""
    inconsistent: jax.Array | None
    """Pixels of the unlabeled views on which student and teacher disagree, bool `[m, h, w]`, of volumes with
    `d`; None without `joint.block_input`."""


def label_weak_views(
    nets: StudentForward, views: BatchViews, joint: Joint, weak_logits: jax.Array, with_labeled: bool
) -> WeakLabels:
    """Pseudo-labels of the weak views by `joint.labeler`.

    Args:
        nets, views, joint: of the step.
        weak_logits: the student's, `[n + m, *px, c]`.
        with_labeled: whether the labeled images are paired too. Without it their reference is the student's,
            which nothing reads.
    """
    if not has_teacher(joint):
        return WeakLabels(_as_reference(weak_logits), None)
    # Without labeled pairs the teacher sees the unlabeled images alone, and so do its batch statistics.
    everything = with_labeled and joint.labeler == "teacher"
    labeled, unlabeled = views.split(weak_logits)
    _, images = views.split(views.images)
    teacher = nets.teacher(views.images if everything else images)
    of_images = teacher[-len(images) :]
    inconsistent = inconsistency_mask(images, unlabeled, of_images) if joint.block_input else None
    if joint.labeler == "teacher":
        weak_logits = teacher if everything else jnp.concatenate([labeled, teacher])
    return WeakLabels(_as_reference(weak_logits), inconsistent)


def _as_reference(logits: jax.Array) -> jax.Array:
    # No gradient into the weak view: it provides the pseudo-label only.
    return jax.lax.stop_gradient(jax.nn.softmax(logits, -1))


def has_teacher(joint: Joint) -> bool:
    """Whether a moving average of the net is needed: FixMatch and UniMatch have none as published."""
    return joint.block_input or joint.labeler == "teacher"


def strong_view_pairs(
    nets: StudentForward,
    views: BatchViews,
    joint: Joint,
    labels: WeakLabels,
    with_labeled: bool,
) -> tuple[ConsistencyPair, list[ConsistencyPair]]:
    """Draw one more strong view and pair its predictions with those of the weak view.

    Args:
        nets, views, joint: of the step.
        labels: of the weak views; the strong view lacks their inconsistent pixels.
        with_labeled: whether the labeled images are paired too.

    Returns:
        The pair of the unlabeled images, and those of the labeled ones: one or none.
    """
    labeled_reference, unlabeled_reference = views.split(labels.reference)
    images, box = views.strong_views()
    # The reference gets the same CutMix boxes as the strong images, so that both show the same pixels.
    mixed = cutmix_with_next(box, unlabeled_reference)
    inconsistent = labels.inconsistent
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


LOSSES = {"cross_entropy": hard_cross_entropy, "dice": hard_dice}
"""`joint.pseudo_label_loss` → loss."""


def confident_pair(
    joint: Joint, reference: jax.Array, logits: jax.Array, inconsistent: jax.Array | None = None
) -> ConsistencyPair:
    """A pair that counts the pixels whose reference reaches `joint.confidence_threshold`."""
    confident = reference.max(-1) >= joint.confidence_threshold
    loss = LOSSES[joint.pseudo_label_loss]
    return ConsistencyPair(reference, logits, loss, confident, inconsistent=inconsistent)


METHODS = {
    "fixmatch": JointMethod(
        fixmatch,
        has_teacher=has_teacher,
        can_block_input=True,
        has_confident_labels=True,
        uses_rampup=False,
        loss_scale=0.5,
    )
}
