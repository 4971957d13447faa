"""Cross-consistency training, CCT (Ouali et al. 2020, arXiv 2003.09005, section 3)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import ConsistencyPair, JointMethod, JointOutputs, mse_consistency
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.views import BatchViews
from imjax.ops import perturb

PERTURBATIONS = (
    perturb.feature_noise,
    functools.partial(perturb.feature_dropout, rate=0.3),
    perturb.attention_drop,
)
"""One for each auxiliary decoder."""


def cct(nets: StudentForward, views: BatchViews, joint: Joint, with_labeled: bool) -> JointOutputs:
    """Auxiliary decoders of perturbed encoder features match the main decoder's probabilities."""
    hooks = tuple(perturb_levels(function, nets.next_key()) for function in PERTURBATIONS)
    output = nets(0, views.images, perturb=hooks)
    # No gradient into the main decoder: it is trained on labels only.
    reference = views.split(jax.lax.stop_gradient(jax.nn.softmax(output.logits, -1)))
    auxiliary = [views.split(logits) for logits in output.auxiliary]
    weight = 1 / len(PERTURBATIONS)
    labeled, unlabeled = (
        [
            ConsistencyPair(reference[half], logits[half], mse_consistency, weight=weight)
            for logits in auxiliary
        ]
        for half in (0, 1)
    )
    labeled_logits = [views.split(output.logits)[0], *(logits[0] for logits in auxiliary)]
    return JointOutputs(labeled_logits, unlabeled, labeled if with_labeled else [])


def perturb_levels(
    function: Callable[[jax.Array, jax.Array], jax.Array], key: jax.Array
) -> Callable[[Sequence[jax.Array]], list[jax.Array]]:
    """A hook that perturbs each of an encoder's feature maps with a key of its own."""

    def hook(features: Sequence[jax.Array]) -> list[jax.Array]:
        keys = jax.random.split(key, len(features))
        return [function(k, x) for k, x in zip(keys, features, strict=True)]

    return hook


METHODS = {
    "cct": JointMethod(
        cct,
        num_pairs=lambda joint: len(PERTURBATIONS),
        auxiliary_decoders=len(PERTURBATIONS),
        # The mean over the main decoder and the auxiliary ones, which share an encoder.
        supervised_scale=1 / (1 + len(PERTURBATIONS)),
        # MetaSSL's released values for CCT; they do not follow `metassl.region_weights`.
        default_region_weights=((50.0, 40.3, 0.15, 8.9), (50.0, 48.7, 24.1, 40.3)),
    )
}
