"""Cross pseudo supervision, CPS (Chen et al. 2021, arXiv 2106.01226, section 3)."""

from __future__ import annotations

import jax

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import (
    ConsistencyLoss,
    ConsistencyPair,
    JointMethod,
    JointOutputs,
    hard_cross_entropy,
    inconsistency_mask,
)
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.views import BatchViews
from imjax.ops.inconsistency import block_image


def cps(nets: StudentForward, views: BatchViews, joint: Joint, with_labeled: bool) -> JointOutputs:
    """Two nets with different initial weights are each trained on the other's most probable class.

    On unlabeled images, and with `joint.cps_labeled` on labeled ones too. With `joint.block_input` they learn
    on blocked unlabeled images (methods.md 2.3).
    """
    logits = [nets(i, views.images).logits for i in range(2)]
    references = [jax.lax.stop_gradient(jax.nn.softmax(x, -1)) for x in logits]
    labeled = with_labeled or joint.cps_labeled
    outputs = pair_nets(views, logits, references[::-1], hard_cross_entropy, labeled)
    return _block_unlabeled(nets, views, outputs) if joint.block_input else outputs


def _block_unlabeled(nets: StudentForward, views: BatchViews, outputs: JointOutputs) -> JointOutputs:
    """Both nets predict the unlabeled images again, blocked where they disagree."""
    _, images = views.split(views.images)
    first, second = outputs.unlabeled_pairs
    inconsistent = inconsistency_mask(images, first.reference, second.reference)
    blocked = block_image(images, inconsistent)
    pairs = [
        pair._replace(supervised=nets(i, blocked).logits, inconsistent=inconsistent)
        for i, pair in enumerate((first, second))
    ]
    return outputs._replace(unlabeled_pairs=pairs)


def pair_nets(
    views: BatchViews,
    logits: list[jax.Array],
    references: list[jax.Array],
    loss_fn: ConsistencyLoss,
    with_labeled: bool,
) -> JointOutputs:
    """Pair each net's logits with its reference, on both halves of the batch.

    Args:
        views: of the batch.
        logits, references: `[n + m, *px, c]`, one per net.
        loss_fn: of every pair.
        with_labeled: whether the pairs of the labeled images are used.
    """
    halves = [
        [ConsistencyPair(*pair, loss_fn) for pair in zip(views.split(r), views.split(x), strict=True)]
        for r, x in zip(references, logits, strict=True)
    ]
    labeled, unlabeled = (list(half) for half in zip(*halves, strict=True))
    return JointOutputs([pair.supervised for pair in labeled], unlabeled, labeled if with_labeled else [])


METHODS = {"cps": JointMethod(cps, num_nets=lambda joint: 2, num_pairs=lambda joint: 2, can_block_input=True)}
