"""The one training loop: members side by side, best epoch kept per member, resumable at any step."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from imjax import rng
from imjax.config import Train
from imjax.engine import predict
from imjax.engine.checkpoints import Checkpoints
from imjax.engine.members import Members
from imjax.engine.monitor import Monitor
from imjax.engine.objective import Objective, make_optimizer
from imjax.engine.source import Source
from imjax.errors import Stopped, TrainingError

# How often the host waits for the devices: often enough for a live progress bar, and to stop quickly.
SYNC_STEPS = 8


class State(NamedTuple):
    """Everything that training one member changes."""

    variables: Any
    opt: Any
    step: jax.Array
    loss_sum: jax.Array
    """Over the steps of this epoch."""
    bad_step: jax.Array
    """First step with a loss that is not finite; -1: none."""
    best: Any
    """Variables of the best epoch on val."""
    best_value: jax.Array
    best_epoch: jax.Array


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Result of `fit`, one entry per member."""

    variables: Any
    """Of each member's best epoch, numpy leaves `[member, ...]`."""
    value: np.ndarray
    """The monitor at that epoch."""
    epoch: np.ndarray

    larger_is_better: bool

    def ranked(self) -> list[int]:
        """Members, best on val first; equal ones in their order."""
        sign = -1 if self.larger_is_better else 1
        return [int(i) for i in np.argsort(sign * self.value, kind="stable")]

    def facts(self) -> dict[str, list]:
        """Ranking, value and best epoch of the members, for a json file."""
        return {"ranked": self.ranked(), "value": self.value.tolist(), "epoch": self.epoch.tolist()}


def steps_per_epoch(options: Train, images: int) -> int:
    """As configured, or ⌊images / batch⌋ but at least 1 (method.md 1.5)."""
    return options.steps_per_epoch or max(1, images // options.batch_size)


def fit(
    objective: Objective,
    options: Train,
    members: Members,
    train: Source,
    val: Source,
    *,
    seed: int,
    stage: str,
    predict_batch: int,
    checkpoints: Checkpoints,
    monitor: Monitor,
) -> Fitted:
    """Train every member, from the last checkpoint if there is one.

    Args:
        objective: what to optimise and watch.
        options: epochs, steps, optimiser.
        members: who trains, and where.
        train: training set; every member sees it in its own order.
        val: validation set, watched after each epoch.
        seed: the run's; initial weights, orders and dropout are functions of it, `stage` and the member.
        stage: name of the stage, for random streams and messages.
        predict_batch: validation images per call.
        checkpoints: of this stage.
        monitor: told of progress and of each epoch's figures; says when to stop.

    Raises:
        TrainingError: a member's loss is not finite.
        Stopped: a stop was asked for; the state is saved.
    """
    per_epoch = steps_per_epoch(options, train.count)
    tx = make_optimizer(options.learning_rate, options.weight_decay, options.adam_epsilon)
    worst = -np.inf if objective.larger_is_better else np.inf
    keys = members.spread(_member_keys(seed, stage, members.count))
    state = members.map(lambda key: _init(objective, tx, worst, jax.random.wrap_key_data(key)))(keys)
    first, state = checkpoints.restore(members, state)
    advance = members.map(lambda s, batch, key: _advance(objective, tx, s, batch, key), donate=(0,))
    keep = members.map(lambda s, value, epoch: _keep(objective, s, value, epoch), donate=(0,))
    watch = members.map(lambda s, batch: objective.watch(s.variables, batch))
    order = train.shuffled(seed, stage, options.batch_size)
    total = options.epochs * per_epoch
    with monitor.stage_progress(first, total, members.count * options.batch_size) as progress:
        for step, batch in enumerate(train.batches(order, range(first, total)), first):
            state = advance(state, batch, keys)
            done = step + 1
            if done % SYNC_STEPS == 0:
                jax.block_until_ready(state)
            progress.at(done, done // per_epoch)
            if done % per_epoch == 0:
                epoch = done // per_epoch
                losses = _losses(members, state, stage, per_epoch)
                watched = predict.mean(members, watch, state, val, predict_batch)
                value = watched[objective.monitor].astype(np.float32)
                state = keep(state, members.spread(value), members.spread(np.full(members.count, epoch)))
                monitor.epoch(epoch, done, {"train": {"loss": losses}, "val": watched})
                progress.loss(losses)
                checkpoints.save(done, members, state)
            if done < total and monitor.stopping():
                checkpoints.save(done, members, state, wait=True)
                raise Stopped(f"saved stage {stage} at step {done} of {total}")
    final = members.collect([(s.best, s.best_value, s.best_epoch) for s in state])
    return Fitted(*final, objective.larger_is_better)


def _member_keys(seed: int, stage: str, count: int) -> np.ndarray:
    return np.stack([np.asarray(jax.random.key_data(rng.key(seed, stage, m))) for m in range(count)])


def _init(objective: Objective, tx: optax.GradientTransformation, worst: float, key: jax.Array) -> State:
    variables = objective.init(key)
    zero = jnp.zeros((), jnp.int32)
    return State(
        variables,
        tx.init(variables["params"]),
        step=zero,
        loss_sum=jnp.zeros(()),
        bad_step=zero - 1,
        best=jax.tree.map(jnp.copy, variables),
        best_value=jnp.float32(worst),
        best_epoch=zero,
    )


def _advance(
    objective: Objective, tx: optax.GradientTransformation, state: State, batch: Any, key: jax.Array
) -> State:
    """One step of one member."""
    key = jax.random.fold_in(jax.random.wrap_key_data(key), state.step)
    rest = {name: value for name, value in state.variables.items() if name != "params"}
    params = state.variables["params"]

    def loss_of(params):
        return objective.loss({"params": params} | rest, batch, key)

    (loss, stats), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
    update, opt = tx.update(gradient, state.opt, params)
    bad = (state.bad_step < 0) & ~jnp.isfinite(loss)
    return state._replace(
        variables={"params": optax.apply_updates(params, update), "batch_stats": stats},
        opt=opt,
        step=state.step + 1,
        loss_sum=state.loss_sum + loss,
        bad_step=jnp.where(bad, state.step, state.bad_step),
    )


def _keep(objective: Objective, state: State, value: jax.Array, epoch: jax.Array) -> State:
    """After an epoch: take the snapshot if it is the best so far, and start the next epoch's sums."""
    better = value > state.best_value if objective.larger_is_better else value < state.best_value
    choose = lambda new, old: jnp.where(better, new, old)  # noqa: E731
    return state._replace(
        loss_sum=jnp.zeros(()),
        best=jax.tree.map(choose, state.variables, state.best),
        best_value=choose(value, state.best_value),
        best_epoch=choose(epoch, state.best_epoch).astype(jnp.int32),
    )


def _losses(members: Members, state: Any, stage: str, per_epoch: int) -> np.ndarray:
    """Mean loss of the epoch per member; raises `TrainingError` where one is not finite."""
    sums, bad = members.collect([(s.loss_sum, s.bad_step) for s in state])
    if (bad >= 0).any():
        member = int(np.flatnonzero(bad >= 0)[0])
        raise TrainingError(
            f"stage {stage}, step {bad[member]}, member {member}: the loss is not finite; "
            "lower train.learning_rate (the run goes on from the last checkpoint)"
        )
    return sums / per_epoch
