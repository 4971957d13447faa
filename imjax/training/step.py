"""Training state of one member, one training step, and the update of its best epoch, for one model."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from imjax.training.objective import LOSS, LossFn, Objective, Variables, loss_and_grad


class State(NamedTuple):
    """Everything about one member that training changes."""

    variables: Any
    opt: Any
    step: jax.Array
    sums: dict[str, jax.Array]
    """Of the loss and of the objective's metrics over the steps of this phase."""
    bad_step: jax.Array
    """First step with a loss that is not finite; -1: none."""
    best: Any
    """Variables of the best epoch on the validation set."""
    best_value: jax.Array
    best_epoch: jax.Array
    average: Any
    """Moving average of the variables, which is measured in their place; None where there is none."""
    plateau_value: jax.Array
    """`Objective.plateau_value` of the last validation, which the schedule sees in every step after it."""


def init(objective: Objective, tx: optax.GradientTransformation, worst: float, key: jax.Array) -> State:
    """A member before its first step, with weights that `objective.init` draws from the key; see `start`."""
    return start(objective, tx, worst, objective.init(key))


def start(
    objective: Objective, tx: optax.GradientTransformation, worst: float, variables: Variables
) -> State:
    """A member before its first step.

    Args:
        objective: names the metrics that are summed.
        tx: the optimizer.
        worst: initial best value: +inf or −inf, so that any value is better.
        variables: its initial weights.
    """
    zero = jnp.zeros((), jnp.int32)
    return State(
        variables,
        tx.init(variables["params"]),
        step=zero,
        sums=_no_sums(objective),
        bad_step=zero - 1,
        # A copy: the step donates the state, and one buffer cannot be donated twice.
        best=jax.tree.map(jnp.copy, variables),
        best_value=jnp.float32(worst),
        best_epoch=zero,
        average=jax.tree.map(jnp.copy, variables) if objective.ema_decay else None,
        # Finite, and worse than any: the epoch before the first validation is no plateau.
        plateau_value=jnp.float32(1e30),
    )


def train_step(
    loss_fn: LossFn,
    tx: optax.GradientTransformation,
    state: State,
    batch: Any,
    key: jax.Array,
    ema_decay: float = 0.0,
) -> State:
    """One training step of one member.

    Args:
        loss_fn: of the current phase.
        tx: the optimizer.
        state: of the member.
        batch: of the member.
        key: of the member; the step is folded in.
        ema_decay: largest decay of the average; 0: there is none.
    """
    # A function of the step, not a key that is carried on: a resumed run draws the same.
    key = jax.random.fold_in(key, state.step)
    params = state.variables["params"]
    (loss, aux), grads = loss_and_grad(loss_fn, state.variables, batch, key)
    updates, opt = tx.update(grads, state.opt, params, value=state.plateau_value)
    bad = (state.bad_step < 0) & ~jnp.isfinite(loss)
    metrics = aux.metrics | {LOSS: loss}
    variables = {"params": optax.apply_updates(params, updates)} | aux.model_state
    average = _update_average(state, variables, ema_decay) if ema_decay else None
    return state._replace(
        variables=variables,
        opt=opt,
        step=state.step + 1,
        # A phase may lack a metric that another phase's loss gives; its sum stays 0.
        sums={name: total + metrics.get(name, 0) for name, total in state.sums.items()},
        bad_step=jnp.where(bad, state.step, state.bad_step),
        average=average,
    )


def _update_average(state: State, variables: Variables, decay: float) -> Variables:
    """The moving average of weights and batch statistics after a step; other collections as they are."""
    # Hardly an average at first, which would only delay the start.
    kept = jnp.minimum(decay, (1 + state.step) / (10 + state.step))

    def mean(old: jax.Array, new: jax.Array) -> jax.Array:
        return kept * old + (1 - kept) * new

    averaged = ("params", "batch_stats")
    return variables | {
        name: jax.tree.map(mean, state.average[name], variables[name])
        for name in averaged
        if name in variables
    }


def measured_variables(state: State) -> Variables:
    """What validation measures and the best epoch keeps: the average, where there is one."""
    return state.variables if state.average is None else state.average


def update_best(
    objective: Objective, state: State, value: jax.Array, plateau_value: jax.Array, epoch: jax.Array
) -> State:
    """After a phase: store the variables if they are the best so far, and reset the sums.

    Args:
        objective: whether a larger value is better.
        state: of the member.
        value: float32 scalar, the selection metric on the validation set.
        plateau_value: float32 scalar, for the schedule of the learning rate.
        epoch: int scalar, from 1.
    """
    better = value > state.best_value if objective.larger_is_better else value < state.best_value
    # After a loss that is not finite the parameters are not finite either, whatever the metric.
    better &= state.bad_step < 0
    choose = lambda new, old: jnp.where(better, new, old)  # noqa: E731
    return state._replace(
        sums=_no_sums(objective),
        best=jax.tree.map(choose, measured_variables(state), state.best),
        best_value=choose(value, state.best_value),
        best_epoch=choose(epoch, state.best_epoch).astype(jnp.int32),
        plateau_value=plateau_value,
    )


def _no_sums(objective: Objective) -> dict[str, jax.Array]:
    return {name: jnp.zeros(()) for name in (LOSS, *objective.metric_names)}
