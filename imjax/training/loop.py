"""The training loop: members in parallel, best epoch stored per member, resumable at any step."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from imjax import rng
from imjax.config.schema import Train
from imjax.errors import Stopped, TrainingError
from imjax.log import logger
from imjax.training import runtime, step
from imjax.training.checkpoints import Checkpoints
from imjax.training.data_loader import EnsembleLoader, PairedLoader
from imjax.training.ensemble_parallel import Chunks, Members
from imjax.training.objective import LOSS, Objective
from imjax.training.optimizer import Optimizer
from imjax.training.progress import StageLogger

# How often this process waits for the devices: often enough for a live progress bar, and to stop quickly.
SYNC_STEPS = 8


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """Result of `fit`, one entry per member."""

    variables: Any
    """Of each member's best epoch, numpy leaves `[member, ...]`."""
    value: np.ndarray
    """float32 `[member]`: the selection metric at that epoch; infinite where there was none."""
    epoch: np.ndarray
    """int32 `[member]`, from 1."""
    dropped: np.ndarray
    """bool `[member]`: its loss was not finite at some step. Its best epoch is one before that."""

    larger_is_better: bool
    steps: int
    """Optimizer steps of each member, whatever its best epoch."""
    batch_size: int
    """Images of a step."""
    epochs: int
    """Times that val was measured."""

    def ranked(self) -> list[int]:
        """Members, best by the selection metric first, dropped ones last; ties by index."""
        sign = -1 if self.larger_is_better else 1
        return [int(i) for i in np.lexsort((sign * self.value, self.dropped))]

    def metadata(self) -> dict[str, list]:
        """For a json file: ranking of the members that were not dropped; value and best epoch of all."""
        metadata = {
            "ranked": [i for i in self.ranked() if not self.dropped[i]],
            "value": [value if np.isfinite(value) else None for value in self.value.tolist()],
            "epoch": self.epoch.tolist(),
            "epochs": self.epochs,
            "steps": self.steps,
            "images_seen": self.steps * self.batch_size,
        }
        return metadata | ({"dropped": np.flatnonzero(self.dropped).tolist()} if self.dropped.any() else {})


def fit(
    objective: Objective,
    options: Train,
    members: Members,
    train: Sequence[EnsembleLoader | PairedLoader],
    val: EnsembleLoader,
    *,
    steps: Sequence[int],
    seed: int,
    stage: str,
    eval_batch_size: int,
    checkpoints: Checkpoints,
    stage_logger: StageLogger,
    drop: bool = False,
) -> TrainResult:
    """Train every member, from the last checkpoint if there is one.

    Args:
        objective: one loss for each phase of an epoch, and the validation metrics.
        options: epochs and optimizer.
        members: number of members and their devices.
        train: training set of each phase; every member draws it in its own order.
        val: validation set, measured after each phase.
        steps: of each phase in every epoch.
        seed: the run's; initial weights, orders and dropout are functions of it, `stage` and the member.
        stage: name of the stage, for random streams and messages.
        eval_batch_size: validation images per call.
        checkpoints: of this stage.
        stage_logger: records progress and the metrics of each phase; knows whether to stop.
        drop: continue without members whose loss is not finite, rather than stop.

    Raises:
        TrainingError: a member's loss is not finite, or with `drop`, that of all of them.
        Stopped: a stop was requested; the state is saved.
    """
    optimizer = Optimizer.of(options, sum(steps))
    programs = _programs(ProgramSpec(objective, members, optimizer))
    member_keys = _member_keys(seed, stage, members.count)
    keys = members.shard(member_keys)
    first, state = checkpoints.restore(members, programs.state_shapes)
    if state is None:
        state = _initial_state(objective, members, programs, member_keys)
    orders = _shuffled_orders(train, seed, stage, options.batch_size)
    end_phase = _make_end_phase(objective, members, programs, val, eval_batch_size, stage, stage_logger, drop)
    total = options.epochs * sum(steps)
    with stage_logger.stage_progress(first, total, members.count * options.batch_size) as progress:
        for phase in _remaining_phases(options.epochs, tuple(objective.losses), steps, first):
            batches = train[phase.number].batches(orders[phase.number], phase.own_steps)
            for done, batch in enumerate(batches, phase.end - len(phase.own_steps) + 1):
                state = programs.train_step[phase.number](state, batch, keys)
                if done % SYNC_STEPS == 0:
                    # Dispatch is asynchronous: without this the progress would show queued steps as done.
                    jax.block_until_ready(state)
                progress.update(done, phase.epoch - (done < phase.end))
                if done == phase.end:
                    state, losses = end_phase(state, phase)
                    progress.set_loss(losses[np.isfinite(losses)])
                    stage_logger.learning_rate(done, optimizer.rate_at(done))
                    checkpoints.maybe_save(done, members, state)
                # After the last step the stage is about to end anyway.
                if done < total and stage_logger.stopping():
                    checkpoints.save(done, members, state, wait=True)
                    raise Stopped(f"saved stage {stage} at step {done} of {total}")
    best, value, epoch, bad = members.gather(
        [(s.best, s.best_value, s.best_epoch, s.bad_step) for s in state]
    )
    return TrainResult(
        best, value, epoch, bad >= 0, objective.larger_is_better, total, options.batch_size, options.epochs
    )


def _shuffled_orders(
    train: Sequence[EnsembleLoader | PairedLoader], seed: int, stage: str, batch_size: int
) -> list[Any]:
    """Training order of each phase, as its loader takes it."""
    # The first phase's stream has the stage's bare name, as stages of one phase have it.
    streams = [f"{stage}/{number}" if number else stage for number in range(len(train))]
    return [loader.shuffled(seed, name, batch_size) for loader, name in zip(train, streams, strict=True)]


class _Phase(NamedTuple):
    """The remaining steps of one phase of one epoch."""

    epoch: int
    """From 1."""
    number: int
    """Of the phase within an epoch, from 0."""
    loss: str
    """Name of the phase's loss."""
    own_steps: range
    """Remaining steps, counted within this phase over all epochs."""
    steps: int
    """Of the phase in this epoch, with those done before."""
    end: int
    """Steps of all phases that are done when it ends."""


def _remaining_phases(
    epochs: int, losses: Sequence[str], steps: Sequence[int], first: int
) -> Iterator[_Phase]:
    """Phases of all epochs in order, without the first `first` steps."""
    end = 0
    for epoch in range(epochs):
        for number, (loss, count) in enumerate(zip(losses, steps, strict=True)):
            end += count
            left = min(count, end - first)
            if left > 0:
                # Each phase's data order counts its own steps only, whatever the other phases take.
                own_end = (epoch + 1) * count
                yield _Phase(epoch + 1, number, loss, range(own_end - left, own_end), count, end)


@dataclasses.dataclass(frozen=True)
class ProgramSpec:
    """Everything that the compiled programs of a stage depend on, compared by value."""

    objective: Objective
    members: Members
    optimizer: Optimizer


class _Programs(NamedTuple):
    """Compiled functions, mapped over the members except `init` and `start`, which are of one member."""

    init: Callable
    """Typed key → the state, numpy leaves."""
    start: Callable
    """Initial weights → the state, numpy leaves."""
    state_shapes: Callable
    """() → shapes of the state of one member, without drawing it."""
    train_step: tuple[Callable, ...]
    """One per phase."""
    evaluate: Callable
    update_best: Callable


@functools.lru_cache(maxsize=8)
def _programs(spec: ProgramSpec) -> _Programs:
    """Kept by the spec: compiled once for all stages that train the same net in the same way."""
    # The programs outlive the stage. Its weights, on which they do not depend, need not.
    objective, members = dataclasses.replace(spec.objective, start=()), spec.members
    tx = spec.optimizer.make()
    worst = -np.inf if objective.larger_is_better else np.inf

    def train_step(loss_fn):
        # The old state is donated: it would double the memory of the weights and the optimizer.
        one = functools.partial(step.train_step, loss_fn, tx, ema_decay=objective.ema_decay)
        return members.map(lambda s, batch, key: one(s, batch, key), donate=(0,))

    return _Programs(
        _compile_on_cpu(lambda key: step.init(objective, tx, worst, key)),
        _compile_on_cpu(lambda variables: step.start(objective, tx, worst, variables)),
        lambda: jax.eval_shape(lambda: step.init(objective, tx, worst, jax.random.key(0))),
        tuple(train_step(loss_fn) for loss_fn in objective.losses.values()),
        members.map(lambda s, batch: objective.eval_fn(step.measured_variables(s), batch)),
        members.map(
            lambda s, value, plateau, epoch: step.update_best(objective, s, value, plateau, epoch),
            donate=(0,),
        ),
    )


def _compile_on_cpu(init: Callable) -> Callable:
    """A function that makes the state of one member, compiled for the CPU, with numpy results."""
    # On the CPU, whatever device trains: initial weights are then the same everywhere. Drawing them takes a
    # moment, but with full optimization half a minute to compile.
    compiled = jax.jit(init, compiler_options={"xla_backend_optimization_level": 0})

    def init_member(source: Any) -> Any:
        with jax.default_device(_cpu_device()):
            return jax.tree.map(np.asarray, compiled(source))

    return init_member


def _initial_state(
    objective: Objective, members: Members, programs: _Programs, member_keys: jax.Array
) -> Chunks:
    """The members before their first step, with drawn weights and those that the objective starts from."""
    states = [programs.init(key) for key in member_keys]
    if start := objective.start:
        states = [
            programs.start(_overlay(state.variables, start[i % len(start)])) for i, state in enumerate(states)
        ]
    return members.shard(jax.tree.map(lambda *leaves: np.stack(leaves), *states))


def _overlay(drawn: Any, start: Any) -> Any:
    """The drawn weights, with those of the other tree that have the same name and shape."""
    if isinstance(drawn, Mapping):
        return {
            name: _overlay(value, start[name]) if name in start else value for name, value in drawn.items()
        }
    return start if np.shape(start) == np.shape(drawn) else drawn


def _cpu_device() -> jax.Device | None:
    """The CPU as a device; None where JAX_PLATFORMS leaves it out."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def _make_end_phase(
    objective: Objective,
    members: Members,
    programs: _Programs,
    val: EnsembleLoader,
    batch_size: int,
    stage: str,
    stage_logger: StageLogger,
    drop: bool,
) -> Callable[[Chunks, _Phase], tuple[Chunks, np.ndarray]]:
    """A function that ends a phase: validate, record, store each member's variables if they are the best."""
    already_dropped: set[int] = set()

    def end_phase(state: Chunks, phase: _Phase) -> tuple[Chunks, np.ndarray]:
        means = _phase_means(members, state, stage, phase.steps, drop, already_dropped)
        losses = means.pop(LOSS)
        validation = runtime.mean(members, programs.evaluate, state, val, batch_size)
        value = validation[objective.selection_metric].astype(np.float32)
        plateau = objective.plateau_value(validation).astype(np.float32)
        epoch = np.full(members.count, phase.epoch)
        state = programs.update_best(state, *(members.shard(x) for x in (value, plateau, epoch)))
        stage_logger.epoch(phase.epoch, phase.end, {"train": {phase.loss: losses} | means, "val": validation})
        return state, losses

    return end_phase


def _member_keys(seed: int, stage: str, count: int) -> jax.Array:
    """Typed keys `[count]`, one per member."""
    # On the CPU like the initial weights that are drawn from them: a key on an accelerator would have to be
    # copied back for each of these.
    with jax.default_device(_cpu_device()):
        return jnp.stack([rng.key(seed, stage, member) for member in range(count)])


def _phase_means(
    members: Members, state: Any, stage: str, steps: int, drop: bool, already_dropped: set[int]
) -> dict[str, np.ndarray]:
    """Mean loss and metrics of the phase per member, nan of members that are dropped.

    Args:
        members, state, stage, drop: as in `fit`.
        steps: of the phase.
        already_dropped: members that were reported before; those reported now are added.

    Raises:
        TrainingError: a loss is not finite, unless members may be dropped for it and some are left.
    """
    sums, bad = members.gather([(s.sums, s.bad_step) for s in state])
    failed = np.flatnonzero(bad >= 0)
    if len(failed) and (not drop or len(failed) == members.count):
        member = int(failed[0])
        others = ", nor any more that of the others" if drop else ""
        instead = "" if drop else "; or give the same command with --config.on_nan=drop to go on without it"
        raise TrainingError(
            f"stage {stage}, step {bad[member]}, member {member}: the loss is not finite{others}; "
            f"lower train.learning_rate, in a new --workdir{instead}"
        )
    for member in set(failed.tolist()) - already_dropped:
        already_dropped.add(member)
        logger.warning(
            "stage %s, step %d, member %d: the loss is not finite; the member is dropped: its best epoch "
            "before that is ranked last and used in no ensemble", stage, bad[member], member,
        )  # fmt: skip
    return {name: np.where(bad >= 0, np.float32(np.nan), total / steps) for name, total in sums.items()}
