"""Uncertainty-aware Mean Teacher, UA-MT (Yu et al. 2019, arXiv 1907.07034, section 2).

What the paper leaves open is as in the SSL4MIS benchmark (methods.md 2.4).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from imjax.config.joint_schema import Joint
from imjax.methods.joint.base import JointMethod, JointOutputs, Logits, Probabilities
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.mean_teacher import mean_teacher
from imjax.methods.joint.views import BatchViews
from imjax.ops.rampup import sigmoid_rampup
from imjax.ops.views import gaussian_noise

START = 0.75
"""Share of the largest entropy that the threshold has before it rises."""


def ua_mt(nets: StudentForward, views: BatchViews, joint: Joint, with_labeled: bool) -> JointOutputs:
    """Mean Teacher on the unlabeled pixels that the teacher is certain of.

    Uncertainty is the entropy of the teacher's mean softmax over `joint.ua_mt.passes` passes that differ by
    dropout and noise. Labeled pairs, which are for MetaSSL alone, have no mask.
    """
    outputs = mean_teacher(nets, views, joint, with_labeled)
    _, images = views.split(views.images)
    mean = _mean_softmax(nets, images, joint)
    threshold = uncertainty_threshold(nets.step, mean.shape[-1], joint.rampup.steps)
    certain = entropy(mean) < threshold
    unlabeled = [pair._replace(loss_fn=certain_mse, mask=certain) for pair in outputs.unlabeled_pairs]
    labeled = [pair._replace(loss_fn=certain_mse) for pair in outputs.labeled_pairs]
    return outputs._replace(unlabeled_pairs=unlabeled, labeled_pairs=labeled)


def _mean_softmax(nets: StudentForward, images: jax.Array, joint: Joint) -> Probabilities:
    """Mean of the teacher's softmax over `joint.ua_mt.passes` noisy passes, `[m, *px, c]`."""
    sigma, passes = joint.teacher_noise, joint.ua_mt.passes
    # Two copies in a call, as published: this halves the updates of the teacher's running statistics.
    copies = jnp.concatenate([images, images])
    total = jnp.zeros(())
    for _ in range(passes // 2):
        noisy = gaussian_noise(nets.next_key(), copies, sigma, clip=2 * sigma)
        first, second = jnp.split(jax.nn.softmax(nets.teacher(noisy), -1), 2)
        total = total + first + second
    return total / passes


def entropy(probabilities: Probabilities) -> jax.Array:
    """-Σ p ln p over the classes, in nats, `[b, *px]`."""
    return jax.scipy.special.entr(probabilities).sum(-1)


def uncertainty_threshold(step: jax.Array | int, num_classes: int, steps: int) -> jax.Array:
    """H = (3/4 + 1/4·exp(−5(1 − min(t, T)/T)²))·ln C: pixels with less entropy are certain.

    Args:
        step: t, training steps done, from 0.
        num_classes: C, whose largest entropy is ln C.
        steps: T, of the ramp-up.
    """
    return (START + sigmoid_rampup(step, 1 - START, steps)) * jnp.log(jnp.float32(num_classes))


def certain_mse(reference: Probabilities, supervised: Logits, weights: jax.Array) -> jax.Array:
    """Squared difference of the probabilities, summed over the classes: Σ w·d / (2·Σ w + 1e-16).

    Divided by the pixels that count, not by all: few certain pixels have the pull of many.
    """
    squared = jnp.square(jax.nn.softmax(supervised, -1) - reference).sum(-1)
    # The 2 is the released code's: with two classes this is the mean over classes and certain pixels.
    return (weights * squared).sum() / (2 * weights.sum() + 1e-16)


METHODS = {"ua_mt": JointMethod(ua_mt, has_teacher=lambda joint: True)}
