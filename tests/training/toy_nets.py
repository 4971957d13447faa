"""A net just large enough for every joint method, systems of it, and images with bright squares."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from imjax.config.convert import freeze
from imjax.config.defaults import common
from imjax.config.joint_schema import Joint
from imjax.data.spec import DatasetSpec
from imjax.methods.registry import JOINT_METHODS
from imjax.models.layers import BatchNorm, scale_input
from imjax.training.semi_supervised_objective import System

SPEC = DatasetSpec("toy", "Toy", "multiclass", ("a", "b"), ((0, 0, 0),) * 2, channels=1)
JOINT = freeze(common().to_dict()["joint"], Joint)
RNG = np.random.default_rng(0)


class Plain(nn.Module):
    """A convolution, batch statistics, dropout and a head."""

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.Conv(4, (3, 3))(scale_input(images, jnp.float32))
        x = nn.Dropout(0.2, deterministic=not train)(nn.relu(BatchNorm(0.9, 1e-3)(x, train)))
        return nn.Dense(2)(x)


class Tiny(nn.Module):
    """Just enough of a backbone: a convolution, batch statistics, dropout, taps and an auxiliary head."""

    @nn.compact
    def __call__(self, images, train=False, hook=None, perturb=()):
        x = nn.Conv(4, (3, 3))(scale_input(images, jnp.float32))
        x = nn.BatchNorm(not train, momentum=0.9)(x)
        x = nn.Dropout(0.2, deterministic=not train)(nn.relu(x))
        self.sow("taps", "encoder", x, reduce_fn=lambda old, new: new, init_fn=lambda: 0)
        features = hook([x]) if hook else [x]
        logits = nn.Dense(2)(features[0])
        auxiliary = [nn.Dense(2, name=f"auxiliary{k}")(f([x])[0]) for k, f in enumerate(perturb)]
        return (logits, auxiliary) if perturb else logits


def images(n):
    """Bright squares on dark ground, and their labels."""
    label = np.zeros((n, 8, 8), np.uint8)
    for i in range(n):
        top, left = RNG.integers(0, 5, 2)
        label[i, top : top + 4, left : left + 4] = 1
    noise = RNG.integers(0, 60, (n, 8, 8), np.uint8)
    return (label * np.uint8(120) + noise)[..., None], label


LABELED, OTHER, VAL = images(5), images(9), images(6)


def system(name, weighting="none", **changes):
    joint = dataclasses.replace(JOINT, pixel_weighting=weighting, **changes)
    return System(Tiny(), JOINT_METHODS[name], joint, SPEC)
