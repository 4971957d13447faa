"""Optimizers and schedules: steps worked out by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.config.schema import Train
from imjax.training.optimizer import Optimizer

OPTIONS = Train(
    epochs=3,
    steps_per_epoch=2,
    batch_size=4,
    optimizer="sgd",
    schedule="constant",
    learning_rate=0.5,
    momentum=0.9,
    weight_decay=0.01,
    adam_epsilon=1e-7,
    patience=2,
)


def weights(gradients, values=None, steps=2, start=2.0, **changes):
    """Weight after each gradient."""
    tx = Optimizer.of(dataclasses.replace(OPTIONS, **changes), steps).make()
    weight, out = jnp.float32(start), []
    state = tx.init(weight)
    for gradient, value in zip(gradients, values or gradients, strict=True):
        update, state = tx.update(jnp.float32(gradient), state, weight, value=jnp.float32(value))
        weight = weight + update
        out.append(float(weight))
    return out


def test_adamw_decay_is_not_multiplied_by_the_learning_rate():
    # First Adam step has size 1: 2 − 0.5·1 − 0.01·2 = 1.48.
    np.testing.assert_allclose(weights([3.0], optimizer="adamw"), [1.48], rtol=1e-5)


def test_adam_has_no_decay():
    np.testing.assert_allclose(weights([3.0], optimizer="adam"), [1.5], rtol=1e-5)


def test_sgd_adds_the_decay_to_the_gradient_before_the_momentum():
    # g = 3 + 0.01·2 = 3.02; w = 2 − 1.51 = 0.49. Then g = 1 + 0.0049, m = 0.9·3.02 + 1.0049 = 3.7229.
    np.testing.assert_allclose(weights([3.0, 1.0]), [0.49, 0.49 - 0.5 * 3.7229], rtol=1e-5)


def test_poly_falls_to_nothing_at_the_end_with_power_09():
    moved = np.diff([0.0, *weights([-1.0] * 6, start=0.0, schedule="poly", momentum=0.0, weight_decay=0.0)])
    np.testing.assert_allclose(moved, [0.5 * (1 - t / 6) ** 0.9 for t in range(6)], rtol=1e-5)


def test_one_cycle_rises_in_a_quarter_of_the_steps_and_falls_to_nothing():
    moved = np.diff(
        [0.0, *weights([-1.0] * 40, start=0.0, steps=20, epochs=2, schedule="one_cycle", momentum=0.0,
                       weight_decay=0.0)]
    )  # fmt: skip
    # From 1/25 of the highest, 0.5, by half cosines: at step 5 halfway up, at step 25 halfway down to 1/10⁴.
    wanted = [0.02, 0.26, 0.5, 0.25 + 1e-6]
    np.testing.assert_allclose(moved[[0, 5, 10, 25]], wanted, rtol=1e-3)
    assert moved[-1] < 0.002


def test_plateau_acts_after_patient_epochs_without_a_better_loss():
    # Epochs of 2 steps with mean losses 4, 3, 3, 3: the third and fourth are no better.
    losses = [5.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]
    gradients = [-1.0] * len(losses)
    found = weights(gradients, losses, start=0.0, schedule="plateau", momentum=0.0, weight_decay=0.0)
    moved = np.diff([0.0, *found])
    np.testing.assert_allclose(moved[:7], 0.5, rtol=1e-5)
    np.testing.assert_allclose(moved[-1], 0.05, rtol=1e-5)


@pytest.mark.parametrize("schedule, same", [("constant", True), ("poly", False), ("plateau", False)])
def test_stages_of_other_lengths_share_a_program_where_the_rate_is_constant(schedule, same):
    options = dataclasses.replace(OPTIONS, schedule=schedule)
    assert (Optimizer.of(options, 2) == Optimizer.of(options, 5)) is same


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_an_encoder_takes_smaller_steps(optimizer):
    """Of a net, and of each net of a system."""
    params = {
        "net0": {"backbone": {"stem": jnp.float32(2)}, "Decoder_0": jnp.float32(2)},
        "x": jnp.float32(2),
    }
    gradients = jax.tree.map(lambda leaf: jnp.float32(3), params)

    def step(scale):
        options = dataclasses.replace(OPTIONS, optimizer=optimizer, encoder_lr_scale=scale)
        tx = Optimizer.of(options, 2).make()
        return tx.update(gradients, tx.init(params), params, value=jnp.float32(0))[0]

    whole, scaled = step(1.0), step(0.25)
    encoder = scaled["net0"].pop("backbone"), whole["net0"].pop("backbone")
    np.testing.assert_allclose(encoder[0]["stem"], 0.25 * encoder[1]["stem"], rtol=1e-6)
    assert scaled == whole


def test_the_rate_that_is_shown():
    def rates(**changes):
        optimizer = Optimizer.of(dataclasses.replace(Train(), learning_rate=0.1, epochs=2, **changes), 20)
        return [optimizer.rate_at(step) for step in (0, 10, 40)]

    assert rates(schedule="constant") == [0.1] * 3 and rates(schedule="plateau") == [None] * 3
    assert rates(schedule="poly") == pytest.approx([0.1, 0.1 * 0.75**0.9, 0.0])
    assert rates(schedule="one_cycle")[1:] == pytest.approx([0.1, 0.0], abs=1e-5)
