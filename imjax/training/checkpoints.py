"""Checkpoints inside a training stage, and finished nets, through orbax."""

from __future__ import annotations

import shutil
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from imjax.log import logger
from imjax.training import distributed
from imjax.training.ensemble_parallel import Chunks, Members

CHECKSUM = "checksum"
"""Beside what is saved: a flipped bit would go unnoticed otherwise."""
SPARE = 10
"""Times as long as a save took are to pass before the next that nobody asked for: small nets have epochs that
take no longer than a save."""


class Checkpoints:
    """Steps of one stage under `D/checkpoints/<stage>`, the newest two kept.

    What is saved is laid out by member, not by device, so that a run can go on with other devices, and with
    more or fewer processes. The first process alone reads and writes; all must call `restore` and `save`.
    """

    def __init__(self, folder: Path):
        self._folder = folder.absolute()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._saved: int | None = None
        self._manager: Any = None
        if distributed.is_first():
            options = ocp.CheckpointManagerOptions(
                max_to_keep=2, create=False, multiprocessing_options=distributed.first_process_only()
            )
            self._manager = ocp.CheckpointManager(self._folder, options=options)
            self._saved = self._manager.latest_step()
        self._saved = distributed.broadcast_from_first(self._saved)
        self._next = 0.0

    def restore(self, members: Members, member_shapes: Callable[[], Any]) -> tuple[int, Chunks | None]:
        """The newest saved step that is whole, and its state; `(0, None)` if there is none.

        Args:
            members: that the state is for.
            member_shapes: makes the tree of `jax.ShapeDtypeStruct` of one member's state; called only if
                there is something to restore.
        """
        if self._saved is None:
            return 0, None
        leaves, tree = jax.tree.flatten(member_shapes())
        shapes = [jax.ShapeDtypeStruct((members.count, *leaf.shape), leaf.dtype) for leaf in leaves]
        newest, saved = (None, {}) if self._manager is None else self._newest(_named(shapes))
        self._saved = distributed.broadcast_from_first(newest)
        if self._saved is None:
            return 0, None
        saved = distributed.broadcast_arrays_from_first(saved)
        return self._saved, members.shard(jax.tree.unflatten(tree, [saved[name] for name in _named(shapes)]))

    def _newest(self, shapes: dict[str, jax.ShapeDtypeStruct]) -> tuple[int | None, dict[str, np.ndarray]]:
        """The newest step that can be read; damaged ones are said, and removed to be saved anew."""
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step, before in zip(steps, [*steps[1:], None], strict=True):
            try:
                return step, self._read(step, shapes)
            except (MemoryError, PermissionError):
                # Nothing is wrong with the files.
                raise
            except Exception as error:
                # orbax and what is below it raise errors of many kinds for damaged files.
                reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
                onward = "the stage starts anew" if before is None else f"going back to step {before}"
                logger.warning(
                    "%s: damaged, or of another version (%s); %s", self._folder / str(step), reason, onward
                )
                self._manager.delete(step)
        return None, {}

    def _read(self, step: int, shapes: dict[str, jax.ShapeDtypeStruct]) -> dict[str, np.ndarray]:
        """What was saved at a step; raises an error of whatever kind if it is not what it was."""
        saved = jax.tree.map(np.asarray, self._manager.restore(step, args=ocp.args.StandardRestore()))
        # None in checkpoints of versions that had no checksum.
        checksum = saved.pop(CHECKSUM, None)
        if _types(saved) != _types(shapes):
            raise ValueError("other arrays than the net has")
        if checksum is not None and checksum != _checksum(saved):
            raise ValueError("its checksum is another")
        return saved

    def maybe_save(self, step: int, members: Members, state: Chunks) -> None:
        """`save`, unless the last one was a moment ago (`SPARE`). Every process must call it."""
        if distributed.broadcast_from_first(time.monotonic() >= self._next):
            self.save(step, members, state)

    def save(self, step: int, members: Members, state: Chunks, wait: bool = False) -> None:
        """Save the state after `step` steps; returns before it is written unless `wait`."""
        if self._saved != step:
            start = time.monotonic()
            self._saved, leaves = step, jax.tree.leaves(members.gather(state))
            if self._manager is not None:
                named = _named(leaves)
                arrays = named | {CHECKSUM: _checksum(named)}
                self._manager.save(step, args=ocp.args.StandardSave(arrays))
            end = time.monotonic()
            self._next = end + SPARE * (end - start)
        if wait and self._manager is not None:
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait for what is being written."""
        if self._manager is not None:
            self._manager.wait_until_finished()
            self._manager.close()

    def remove(self) -> None:
        """The stage is done: its result is kept elsewhere."""
        self.close()
        shutil.rmtree(self._folder)


def save_nets(folder: Path, variables: Any) -> None:
    """Write nets, numpy leaves `[member, ...]`; the first process does."""
    if distributed.is_first():
        with ocp.StandardCheckpointer(multiprocessing_options=distributed.first_process_only()) as writer:
            writer.save(folder.absolute(), variables)


def load_nets(folder: Path) -> Any:
    """Read what `save_nets` wrote, as numpy; every process must call it."""
    nets = {}
    if distributed.is_first():
        with ocp.StandardCheckpointer(multiprocessing_options=distributed.first_process_only()) as reader:
            nets = jax.tree.map(np.asarray, reader.restore(folder.absolute()))
    return distributed.broadcast_arrays_from_first(nets)


def _checksum(named: dict[str, np.ndarray]) -> np.ndarray:
    value = 0
    for name in sorted(named):
        # numpy declares arrays to be buffers from Python 3.12 on only.
        value = zlib.crc32(np.ascontiguousarray(named[name]), value)  # type: ignore[arg-type]
    return np.array(value, np.uint32)


def _types(arrays: Mapping[str, Any]) -> dict[str, tuple]:
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


def _named(leaves: list[Any]) -> dict[str, Any]:
    # A flat dict: the state's own tree has classes that orbax would turn into others.
    return {f"{i:04d}": leaf for i, leaf in enumerate(leaves)}
