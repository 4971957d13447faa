"""UAPS: uncertainty-aware and dynamically mixed pseudo-labels (Sime et al., Computers in Industry 2023).

By the authors of simEps. The source of this definition is the released code, github.com/djene-mengistu/UAPS
(commit 8b80b8c, for NEU-Seg), not the text of the paper: methods.md 2.5.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from imjax import losses
from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import (
    ConsistencyPair,
    JointMethod,
    JointOutputs,
    Logits,
    Probabilities,
    ce_linear_dice,
    pixel_kl_divergence,
    weighted_mean,
)
from imjax.methods.joint.cct import perturb_levels
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.views import BatchViews
from imjax.ops import perturb

PERTURBATIONS = (
    perturb.feature_noise,
    functools.partial(perturb.element_dropout, rate=0.5),
    perturb.attention_drop,
)
"""One for each auxiliary decoder."""
DECODERS = 1 + len(PERTURBATIONS)


def uaps(nets: StudentForward, views: BatchViews, joint: Joint, with_labeled: bool) -> JointOutputs:
    """Main and perturbed decoders of one encoder learn a random mix of their predictions.

    The mix has weights from the flat Dirichlet distribution, drawn at each step, and its most probable class
    is the pseudo-label of all decoders. Where a decoder diverges from the mean of all, it learns less.
    """
    # Two passes, as published: each half is normalized by its own batch statistics.
    labeled, unlabeled = (_predict(nets, images) for images in views.split(views.images))
    shares = jax.random.dirichlet(nets.next_key(), jnp.ones(DECODERS))
    return JointOutputs(
        labeled,
        mixed_pairs(unlabeled, shares, joint.uaps.uncertainty_weight),
        mixed_pairs(labeled, shares, joint.uaps.uncertainty_weight) if with_labeled else [],
    )


def _predict(nets: StudentForward, images: jax.Array) -> list[Logits]:
    """Logits of the main decoder and of the perturbed ones."""
    hooks = tuple(perturb_levels(function, nets.next_key()) for function in PERTURBATIONS)
    output = nets(0, images, perturb=hooks)
    return [output.logits, *output.auxiliary]


def mixed_pairs(logits: list[Logits], shares: jax.Array, uncertainty_weight: float) -> list[ConsistencyPair]:
    """A pair for each decoder, toward the mix of all, with the mean over the decoders as their sum.

    Args:
        logits: of each decoder, `[b, *px, c]`.
        shares: of the decoders in the mix, `[decoder]`, with the sum 1.
        uncertainty_weight: of the decoders' divergence from their mean.
    """
    probabilities = jnp.stack([jax.nn.softmax(x, -1) for x in logits])
    # No gradient into the pseudo-label; into the mean, from which divergence is taken, it flows.
    mixed = jax.lax.stop_gradient(jnp.tensordot(shares, probabilities, 1))
    loss_fn = functools.partial(
        uncertain_ce_dice, mean=probabilities.mean(0), uncertainty_weight=uncertainty_weight
    )
    return [ConsistencyPair(mixed, x, loss_fn, weight=1 / len(logits)) for x in logits]


def uncertain_ce_dice(
    reference: Probabilities,
    supervised: Logits,
    weights: jax.Array,
    *,
    mean: Probabilities,
    uncertainty_weight: float,
) -> jax.Array:
    """½(CE + Dice) against the reference's class · mean of exp(−D), plus `uncertainty_weight` · mean of D.

    D = KL(mean ‖ supervised) of each pixel. CE and Dice are means over the batch before the factor, as in the
    released code; the gradient flows through D in both terms.
    """
    divergence = pixel_kl_divergence(mean, supervised)
    certainty = jnp.exp(-divergence).mean()
    pseudo = ce_linear_dice(reference, supervised, weights) * certainty
    return pseudo + uncertainty_weight * weighted_mean(divergence, weights)


METHODS = {
    "uaps": JointMethod(
        uaps,
        num_pairs=lambda joint: DECODERS,
        auxiliary_decoders=len(PERTURBATIONS),
        # The mean over the decoders.
        supervised_scale=1 / DECODERS,
        supervised_loss=functools.partial(losses.ce_dice_loss, squared=False),
    )
}
