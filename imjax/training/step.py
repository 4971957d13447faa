"""One member through training: what it is made of, a step, and the end of a phase. Written for one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from imjax.training.objective import LOSS, Objective, gradient


class State(NamedTuple):
    """Everything that training one member changes."""

    variables: Any
    opt: Any
    step: jax.Array
    sums: dict[str, jax.Array]
    """Of the loss and of the objective's scalars over the steps of this phase."""
    bad_step: jax.Array
    """First step with a loss that is not finite; -1: none."""
    best: Any
    """Variables of the best epoch on val."""
    best_value: jax.Array
    best_epoch: jax.Array


def init(objective: Objective, tx: optax.GradientTransformation, worst: float, key: jax.Array) -> State:
    """A member before its first step; `worst` is what every value on val is better than."""
    variables = objective.init(key)
    zero = jnp.zeros((), jnp.int32)
    return State(
        variables,
        tx.init(variables["params"]),
        step=zero,
        sums=_no_sums(objective),
        bad_step=zero - 1,
        best=jax.tree.map(jnp.copy, variables),
        best_value=jnp.float32(worst),
        best_epoch=zero,
    )


def advance(
    loss_fn: Callable, tx: optax.GradientTransformation, state: State, batch: Any, key: jax.Array
) -> State:
    """One step of one member."""
    key = jax.random.fold_in(jax.random.wrap_key_data(key), state.step)
    params = state.variables["params"]
    (loss, after), slope = gradient(loss_fn, state.variables, batch, key)
    progress = loss if after.progress is None else after.progress
    update, opt = tx.update(slope, state.opt, params, value=progress)
    bad = (state.bad_step < 0) & ~jnp.isfinite(loss)
    figures = after.scalars | {LOSS: loss}
    return state._replace(
        variables={"params": optax.apply_updates(params, update)} | after.rest,
        opt=opt,
        step=state.step + 1,
        sums={name: total + figures.get(name, 0) for name, total in state.sums.items()},
        bad_step=jnp.where(bad, state.step, state.bad_step),
    )


def keep(objective: Objective, state: State, value: jax.Array, epoch: jax.Array) -> State:
    """After a phase: take the snapshot if it is the best so far, and start the next phase's sums."""
    better = value > state.best_value if objective.larger_is_better else value < state.best_value
    # Nothing that comes after a loss that is not finite is worth keeping.
    better &= state.bad_step < 0
    choose = lambda new, old: jnp.where(better, new, old)  # noqa: E731
    return state._replace(
        sums=_no_sums(objective),
        best=jax.tree.map(choose, state.variables, state.best),
        best_value=choose(value, state.best_value),
        best_epoch=choose(epoch, state.best_epoch).astype(jnp.int32),
    )


def _no_sums(objective: Objective) -> dict[str, jax.Array]:
    return {name: jnp.zeros(()) for name in (LOSS, *objective.scalars)}
