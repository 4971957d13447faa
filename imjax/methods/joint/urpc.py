"""Uncertainty rectified pyramid consistency, URPC (Luo et al. 2021, arXiv 2012.07042, section 2).

The perturbations before the heads are those of the SSL4MIS benchmark (methods.md 2.4).
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import (
    ConsistencyPair,
    JointMethod,
    JointOutputs,
    Logits,
    Probabilities,
    pixel_kl_divergence,
    weighted_mean,
)
from imjax.methods.joint.cct import perturb_levels
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.views import BatchViews
from imjax.ops import perturb

PERTURBATIONS = (
    perturb.feature_noise,
    perturb.attention_drop,
    functools.partial(perturb.element_dropout, rate=0.5),
)
"""One for each coarser scale, from fine to coarse."""
SCALES = 1 + len(PERTURBATIONS)


def urpc(nets: StudentForward, views: BatchViews, joint: Joint, with_labeled: bool) -> JointOutputs:
    """Predictions at four scales of one decoder match their mean, where they diverge from it less.

    Labels train every scale.
    """
    hooks = tuple(perturb_levels(function, nets.next_key()) for function in PERTURBATIONS)
    output = nets(0, views.images, perturb=hooks)
    halves = [views.split(logits) for logits in (output.logits, *output.auxiliary)]
    labeled, unlabeled = ([half[i] for half in halves] for i in (0, 1))
    return JointOutputs(labeled, scale_pairs(unlabeled), scale_pairs(labeled) if with_labeled else [])


def scale_pairs(logits: list[Logits]) -> list[ConsistencyPair]:
    """A pair for each scale, toward the mean of all, with the mean over the scales as their sum."""
    # No stop_gradient: the mean learns too, as in the released code.
    mean = jnp.stack([jax.nn.softmax(x, -1) for x in logits]).mean(0)
    return [ConsistencyPair(mean, x, rectified_mse, weight=1 / len(logits)) for x in logits]


def rectified_mse(reference: Probabilities, supervised: Logits, weights: jax.Array) -> jax.Array:
    """Mean of e·d over the mean of e, plus the mean of D.

    D = KL(reference ‖ supervised) of each pixel, e = exp(−D), and d is the squared difference of the
    probabilities, mean over the classes. The gradient flows through all of them.
    """
    divergence = pixel_kl_divergence(reference, supervised)
    certainty = jnp.exp(-divergence)
    squared = jnp.square(jax.nn.softmax(supervised, -1) - reference).mean(-1)
    rectified = weighted_mean(squared * certainty, weights) / (certainty.mean() + 1e-8)
    return rectified + weighted_mean(divergence, weights)


METHODS = {
    "urpc": JointMethod(
        urpc,
        num_pairs=lambda joint: SCALES,
        auxiliary_decoders=len(PERTURBATIONS),
        pyramid=True,
        # The mean over the scales.
        supervised_scale=1 / SCALES,
    )
}
