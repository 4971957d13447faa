"""The one training loop: members side by side, best epoch kept per member, resumable at any step."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from imjax import rng
from imjax.config.schema import Train
from imjax.errors import Stopped, TrainingError
from imjax.log import logger
from imjax.training import apply_nets, step
from imjax.training.checkpoints import Checkpoints
from imjax.training.data_loader import EnsembleLoader, PairedLoader
from imjax.training.ensemble_parallel import Chunks, Members
from imjax.training.objective import LOSS, Objective
from imjax.training.optimizer import Optimizer
from imjax.training.progress import Monitor

# How often the host waits for the devices: often enough for a live progress bar, and to stop quickly.
SYNC_STEPS = 8


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """Result of `fit`, one entry per member."""

    variables: Any
    """Of each member's best epoch, numpy leaves `[member, ...]`."""
    value: np.ndarray
    """The monitor at that epoch; infinite where there was none."""
    epoch: np.ndarray
    dropped: np.ndarray
    """bool: its loss was not finite once. Its best epoch is one before that."""

    larger_is_better: bool

    def ranked(self) -> list[int]:
        """Members, best by the monitor first, dropped ones last; equal ones in their order."""
        sign = -1 if self.larger_is_better else 1
        return [int(i) for i in np.lexsort((sign * self.value, self.dropped))]

    def facts(self) -> dict[str, list]:
        """For a json file: ranking of the members that were not dropped; value and best epoch of all."""
        facts = {
            "ranked": [i for i in self.ranked() if not self.dropped[i]],
            "value": [value if np.isfinite(value) else None for value in self.value.tolist()],
            "epoch": self.epoch.tolist(),
        }
        return facts | ({"dropped": np.flatnonzero(self.dropped).tolist()} if self.dropped.any() else {})


def steps_per_epoch(options: Train, images: Sequence[int], least_images: int = 0) -> tuple[int, ...]:
    """Steps of each phase of an epoch (methods.md 1.5).

    Args:
        options: `steps_per_epoch` steps in all, shared out by the phases' sizes; 0: ⌊images / batch⌋ each.
        images: in the set of each phase.
        least_images: a phase counts as one of at least so many images.

    Returns:
        One number per phase, each at least 1.
    """
    sizes = [max(count, least_images) for count in images]
    if not options.steps_per_epoch:
        return tuple(max(1, size // options.batch_size) for size in sizes)
    shares = [max(1, round(options.steps_per_epoch * size / sum(sizes))) for size in sizes[:-1]]
    return (*shares, max(1, options.steps_per_epoch - sum(shares)))


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
    monitor: Monitor,
    drop: bool = False,
) -> TrainResult:
    """Train every member, from the last checkpoint if there is one.

    Args:
        objective: what to optimize, one loss for each phase of an epoch, and what to watch.
        options: epochs and optimizer.
        members: who trains, and where.
        train: training set of each phase; every member sees it in its own order.
        val: validation set, watched after each phase.
        steps: of each phase in every epoch.
        seed: the run's; initial weights, orders and dropout are functions of it, `stage` and the member.
        stage: name of the stage, for random streams and messages.
        eval_batch_size: validation images per call.
        checkpoints: of this stage.
        monitor: told of progress and of each phase's figures; says when to stop.
        drop: go on without members whose loss is not finite, rather than stop.

    Raises:
        TrainingError: a member's loss is not finite, or with `drop`, that of all of them.
        Stopped: a stop was asked for; the state is saved.
    """
    run = _programs(objective, members, Optimizer.of(options, sum(steps)))
    raw = _member_keys(seed, stage, members.count)
    keys, start = members.spread(raw), [run.init(key) for key in raw]
    state = members.spread(jax.tree.map(lambda *leaves: np.stack(leaves), *start))
    first, state = checkpoints.restore(members, state)
    finish = _finisher(objective, members, run, val, eval_batch_size, stage, monitor, drop)
    streams = [f"{stage}/{number}" if number else stage for number in range(len(train))]
    orders = [s.shuffled(seed, name, options.batch_size) for s, name in zip(train, streams, strict=True)]
    total = options.epochs * sum(steps)
    with monitor.stage_progress(first, total, members.count * options.batch_size) as progress:
        for part in _parts(options.epochs, tuple(objective.losses), steps, first):
            batches = train[part.phase].batches(orders[part.phase], part.own)
            for done, batch in enumerate(batches, part.end - len(part.own) + 1):
                state = run.advance[part.phase](state, batch, keys)
                if done % SYNC_STEPS == 0:
                    jax.block_until_ready(state)
                progress.at(done, part.epoch - (done < part.end))
                if done == part.end:
                    state, losses = finish(state, part)
                    progress.loss(losses[np.isfinite(losses)])
                    checkpoints.offer(done, members, state)
                if done < total and monitor.stopping():
                    checkpoints.save(done, members, state, wait=True)
                    raise Stopped(f"saved stage {stage} at step {done} of {total}")
    *final, bad = members.collect([(s.best, s.best_value, s.best_epoch, s.bad_step) for s in state])
    return TrainResult(*final, bad >= 0, objective.larger_is_better)


class _Part(NamedTuple):
    """What is left of one phase of one epoch."""

    epoch: int
    """From 1."""
    phase: int
    loss: str
    """Name of the phase's loss."""
    own: range
    """Steps that are left, counted within the phase over all epochs."""
    steps: int
    """Of the phase in this epoch, with those done before."""
    end: int
    """Steps of all phases done when it ends."""


def _parts(epochs: int, losses: Sequence[str], steps: Sequence[int], first: int) -> Iterator[_Part]:
    """Phases of all epochs in order, without the first `first` steps."""
    end = 0
    for epoch in range(epochs):
        for phase, (loss, count) in enumerate(zip(losses, steps, strict=True)):
            end += count
            left = min(count, end - first)
            if left > 0:
                after = (epoch + 1) * count
                yield _Part(epoch + 1, phase, loss, range(after - left, after), count, end)


class _Programs(NamedTuple):
    """What runs on the devices, mapped over the members but for `init`, which is of one."""

    init: Callable
    advance: tuple[Callable, ...]
    """One per phase."""
    watch: Callable
    keep: Callable


@functools.lru_cache(maxsize=8)
def _programs(objective: Objective, members: Members, optimizer: Optimizer) -> _Programs:
    """Compiled once for all stages that train the same net in the same way."""
    tx = optimizer.make()
    worst = -np.inf if objective.larger_is_better else np.inf

    def stepper(loss):
        return members.map(lambda s, batch, key: step.advance(loss, tx, s, batch, key), donate=(0,))

    return _Programs(
        _initializer(objective, tx, worst),
        tuple(stepper(loss) for loss in objective.losses.values()),
        members.map(lambda s, batch: objective.watch(s.variables, batch)),
        members.map(lambda s, value, epoch: step.keep(objective, s, value, epoch), donate=(0,)),
    )


def _initializer(objective: Objective, tx: optax.GradientTransformation, worst: float) -> Callable:
    # On the host, whatever trains: weights are then the same everywhere. Drawing them is a moment's work, for
    # which full optimization would compile half a minute.
    quick = {"xla_backend_optimization_level": 0}
    init = lambda key: step.init(objective, tx, worst, jax.random.wrap_key_data(key))  # noqa: E731
    draw = jax.jit(init, compiler_options=quick)

    def drawn(key: np.ndarray) -> Any:
        with jax.default_device(_host()):
            return jax.tree.map(np.asarray, draw(key))

    return drawn


def _host() -> jax.Device | None:
    """The host as a device; None where JAX_PLATFORMS leaves it out."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def _finisher(
    objective: Objective,
    members: Members,
    run: _Programs,
    val: EnsembleLoader,
    batch: int,
    stage: str,
    monitor: Monitor,
    drop: bool,
) -> Callable[[Chunks, _Part], tuple[Chunks, np.ndarray]]:
    """A function that ends a phase: measure on val, report, keep each member's snapshot if it is the best."""

    said: set[int] = set()

    def finish(state: Chunks, part: _Part) -> tuple[Chunks, np.ndarray]:
        means = _means(members, state, stage, part.steps, drop, said)
        losses = means.pop(LOSS)
        watched = apply_nets.mean(members, run.watch, state, val, batch)
        value = watched[objective.monitor].astype(np.float32)
        state = run.keep(state, members.spread(value), members.spread(np.full(members.count, part.epoch)))
        monitor.epoch(part.epoch, part.end, {"train": {part.loss: losses} | means, "val": watched})
        return state, losses

    return finish


def _member_keys(seed: int, stage: str, count: int) -> np.ndarray:
    return np.stack([np.asarray(jax.random.key_data(rng.key(seed, stage, m))) for m in range(count)])


def _means(
    members: Members, state: Any, stage: str, steps: int, drop: bool, said: set[int]
) -> dict[str, np.ndarray]:
    """Mean loss and scalars of the phase per member, nan of members that are dropped.

    Raises:
        TrainingError: a loss is not finite, unless members may be dropped for it and some are left.
    """
    sums, bad = members.collect([(s.sums, s.bad_step) for s in state])
    found = np.flatnonzero(bad >= 0)
    if len(found) and (not drop or len(found) == members.count):
        member = int(found[0])
        others = ", nor any more that of the others" if drop else ""
        instead = "" if drop else "; or give the same command with --config.on_nan=drop to go on without it"
        raise TrainingError(
            f"stage {stage}, step {bad[member]}, member {member}: the loss is not finite{others}; "
            f"lower train.learning_rate, in a new --workdir{instead}"
        )
    for member in set(found.tolist()) - said:
        said.add(member)
        logger.warning(
            "stage %s, step %d, member %d: the loss is not finite; the member is dropped: its best epoch "
            "before that is ranked last and used in no ensemble", stage, bad[member], member,
        )  # fmt: skip
    return {name: np.where(bad >= 0, np.float32(np.nan), total / steps) for name, total in sums.items()}
