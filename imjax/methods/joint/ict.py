"""Interpolation consistency training, ICT (Verma et al. 2019, arXiv 1903.03825, section 2).

For segmentation as in the SSL4MIS benchmark (methods.md 2.4).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import ConsistencyPair, JointMethod, JointOutputs, mse_consistency
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.views import BatchViews


def ict(nets: StudentForward, views: BatchViews, joint: Joint, with_labeled: bool) -> JointOutputs:
    """The student's prediction of two mixed images matches the same mix of the teacher's predictions.

    Every unlabeled image is mixed with the next one of the batch, with a share λ of its own that is drawn
    from Beta(α, α), α = `joint.ict.alpha`. Labeled images are not mixed.
    """
    # In 0..1, as a mix of uint8 would be rounded.
    labeled, unlabeled = views.split(views.images.astype(jnp.float32) / 255)
    alpha = joint.ict.alpha
    share = jax.random.beta(nets.next_key(), alpha, alpha, (len(unlabeled),))
    # One pass for both: labeled and mixed images share the batch statistics.
    logits = nets(0, jnp.concatenate([labeled, mix_with_next(share, unlabeled)])).logits
    labeled_logits, mixed_logits = views.split(logits)
    # Without labeled pairs the teacher sees the unlabeled images alone, and so do its batch statistics.
    seen = views.images if with_labeled else views.images[views.num_labeled :]
    reference = jax.nn.softmax(nets.teacher(seen), -1)
    mixed_reference = mix_with_next(share, reference[-len(unlabeled) :])
    pair = ConsistencyPair(mixed_reference, mixed_logits, mse_consistency)
    if not with_labeled:
        return JointOutputs([labeled_logits], [pair], [])
    labeled_reference, _ = views.split(reference)
    labeled_pair = ConsistencyPair(labeled_reference, labeled_logits, mse_consistency)
    return JointOutputs([labeled_logits], [pair], [labeled_pair])


def mix_with_next(share: jax.Array, x: jax.Array) -> jax.Array:
    """λ·x_i + (1 − λ)·x_(i+1), the last with the first; `share` `[m]`, `x` float `[m, ...]`."""
    share = share.reshape(-1, *(1,) * (x.ndim - 1))
    return share * x + (1 - share) * jnp.roll(x, -1, 0)


METHODS = {"ict": JointMethod(ict, has_teacher=lambda joint: True)}
