"""Adam's ε, steps of an epoch, and targets of the consistency method (methods.md 1.2, 1.5, 1.13), by hand."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from imjax.config import get_config
from imjax.config.constraints import check
from imjax.config.convert import freeze
from imjax.config.schema import Train
from imjax.data.readers import registry
from imjax.pipeline import train_stage
from imjax.pipeline.plan import make_plan
from imjax.pipeline.stages import TrainStage
from imjax.training.budget import steps_per_epoch
from imjax.training.optimizer import Optimizer


def moves(optimizer, gradients, **changes):
    """Changes of a weight that starts at 0."""
    options = dataclasses.replace(Train(), optimizer=optimizer, learning_rate=1.0, weight_decay=0.0)
    tx = Optimizer.of(dataclasses.replace(options, **changes), 1).make()
    weight = jnp.float32(0)
    state, out = tx.init(weight), []
    for gradient in gradients:
        update, state = tx.update(jnp.float32(gradient), state, weight, value=jnp.float32(0))
        out.append(float(update))
    return out


# First step by a gradient g: g/(g + ε/√(1 − β₂)), where ε/√(1 − β₂) = 1e-7/√.001 = 3.162e-6, for AdamW as in
# the published code's library, and g/(g + ε) for Adam as in PyTorch.
FIRST_STEPS = [
    ("adamw", 1.0, -1.0),
    ("adamw", 1e-6, -1e-6 / (1e-6 + 1e-7 / math.sqrt(0.001))),
    ("adam", 1e-6, -1e-6 / (1e-6 + 1e-7)),
]


@pytest.mark.parametrize(("optimizer", "gradient", "move"), FIRST_STEPS)
def test_first_step(optimizer, gradient, move):
    assert moves(optimizer, [gradient]) == pytest.approx([move], rel=1e-3)
    assert 1e-7 / math.sqrt(0.001) == pytest.approx(3.2e-6, abs=0.05e-6)


def test_adamw_equals_a_slow_twin():
    gradients = np.random.default_rng(0).normal(0, 1e-5, 20)
    m = v = 0.0
    expected = []
    for t, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        rate = math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        expected.append(-rate * m / (math.sqrt(v) + 1e-7))
    np.testing.assert_allclose(moves("adamw", gradients), expected, rtol=1e-3)


def test_decay_is_decoupled_from_the_rate():
    tx = Optimizer.of(Train(), 1).make()
    weight = jnp.float32(2)
    update, _ = tx.update(jnp.float32(0), tx.init(weight), weight, value=jnp.float32(0))
    # 1e-4 of the weight, whatever the learning rate of 0.003.
    assert float(update) == pytest.approx(-2e-4)


# Images of each phase, steps of each: ⌊images / 32⌋, of the consistency loss ⌈images / 32⌉.
STEPS = [([259], (8,)), ([2594], (81,)), ([31], (1,)), ([259, 2335], (9, 73)), ([256, 2336], (8, 73))]


@pytest.mark.parametrize(("images", "steps"), STEPS)
def test_steps_of_an_epoch(images, steps):
    assert steps_per_epoch(Train(), images) == steps


# LDT, ALDT, FDT: images, steps of 50 epochs (methods.md 1.13; its SUIM and Cityscapes are rounded).
TOTALS = [(259, 400), (2590, 4000), (2594, 4050)]


@pytest.mark.parametrize(("images", "steps"), TOTALS)
def test_steps_of_a_stage_on_isic(images, steps):
    assert 50 * steps_per_epoch(Train(), [images])[0] == steps


# Floor of `evalnet`'s epochs as a share of the full set's steps: on ISIC 2018 a third would be 27 steps.
@pytest.mark.parametrize(
    ("dataset", "share"), [("isic2018", 0), ("hela", 1 / 3), ("suim", 1 / 3), ("cityscapes", 1 / 3)]
)
def test_floor_of_evalnets_epochs(dataset, share):
    stages = make_plan(check(freeze(get_config(dataset, "evalnet").to_dict())))
    floors = {s.least_share for s in stages if isinstance(s, TrainStage) and s.generation is not None}
    assert floors == {share}


@pytest.mark.parametrize(("method", "scale"), [("consistency", (1.0,)), ("ldt", (1.0, 1.0, 3.0))])
def test_target_of_helas_positions(method, scale):
    stages = make_plan(check(freeze(get_config("hela", method).to_dict())))
    (stage,) = (s for s in stages if s.method == method)
    assert train_stage.training_spec(stage, registry.spec("hela")).target_scale == scale
