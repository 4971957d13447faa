"""One training step of one member: the moving average by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from imjax.training import step
from imjax.training.objective import Objective, StepAux


def falling_line(ema_decay):
    """A weight that falls from 1 by 0.5 per step, and a statistic that counts the steps."""

    def init(key):
        return {
            "params": {"w": jnp.float32(1)},
            "batch_stats": {"seen": jnp.float32(0)},
            "method": jnp.int32(7),
        }

    def loss(variables, batch, key):
        state = {"batch_stats": {"seen": variables["batch_stats"]["seen"] + 1}, "method": jnp.int32(8)}
        return variables["params"]["w"], StepAux(state, {})

    return Objective("line", init, {"loss": loss}, lambda *_: {}, "loss", False, ema_decay=ema_decay)


def run(ema_decay, steps):
    objective, tx = falling_line(ema_decay), optax.sgd(0.5)
    state = step.init(objective, tx, np.inf, jax.random.key(0))
    for _ in range(steps):
        loss = objective.losses["loss"]
        state = step.train_step(loss, tx, state, {}, jax.random.key(0), objective.ema_decay)
    return objective, state


def test_the_average_is_measured_and_kept():
    objective, state = run(0.2, 2)
    # Decays min(0.2, 1/10) and min(0.2, 2/11): 0.1·1 + 0.9·0.5 = 0.55; 2/11·0.55 + 9/11·0 = 0.1.
    assert float(state.variables["params"]["w"]) == 0.0
    measured = step.measured_variables(state)
    np.testing.assert_allclose(measured["params"]["w"], 0.1, rtol=1e-6)
    # 0.1·0 + 0.9·1 = 0.9; 2/11·0.9 + 9/11·2 = 1.8.
    np.testing.assert_allclose(measured["batch_stats"]["seen"], 1.8, rtol=1e-6)
    assert int(measured["method"]) == 8
    kept = step.update_best(objective, state, jnp.float32(0.5), jnp.float32(0.5), jnp.int32(1)).best
    np.testing.assert_allclose(kept["params"]["w"], 0.1, rtol=1e-6)


def test_without_an_average_the_weights_themselves_are():
    _, state = run(0.0, 1)
    assert state.average is None and float(step.measured_variables(state)["params"]["w"]) == 0.5


def test_the_decay_is_at_most_the_one_asked_for():
    objective, state = run(0.05, 1)
    np.testing.assert_allclose(state.average["params"]["w"], 0.05 * 1 + 0.95 * 0.5, rtol=1e-6)
    assert dataclasses.replace(objective, ema_decay=0.0) == objective
