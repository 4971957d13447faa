"""Checkpoints inside a training stage, and finished nets, through orbax."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from imjax.engine import hosts
from imjax.engine.members import Chunks, Members


class Checkpoints:
    """Steps of one stage under `D/checkpoints/<stage>`, the newest two kept.

    What is saved is laid out by member, not by device, so that a run can go on with other devices, and with
    more or fewer processes. The first process alone reads and writes; all must call `restore` and `save`.
    """

    def __init__(self, folder: Path):
        self._folder = folder.absolute()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._saved: int | None = None
        self._manager = None
        if hosts.is_first():
            options = ocp.CheckpointManagerOptions(
                max_to_keep=2, create=False, multiprocessing_options=hosts.alone()
            )
            self._manager = ocp.CheckpointManager(self._folder, options=options)
            self._saved = self._manager.latest_step()
        self._saved = hosts.first_says(self._saved)

    def restore(self, members: Members, state: Chunks) -> tuple[int, Chunks]:
        """The newest saved step and state; `(0, state)` if there is none."""
        if self._saved is None:
            return 0, state
        leaves, tree = jax.tree.flatten(members.collect(state))
        saved = None
        if self._manager is not None:
            saved = self._manager.restore(self._saved, args=ocp.args.StandardRestore(_named(leaves)))
        saved = hosts.first_says(saved)
        return self._saved, members.spread(tree.unflatten(saved[name] for name in _named(leaves)))

    def save(self, step: int, members: Members, state: Chunks, wait: bool = False) -> None:
        """Save the state after `step` steps; returns before it is written unless `wait`."""
        if self._saved != step:
            self._saved, leaves = step, jax.tree.leaves(members.collect(state))
            if self._manager is not None:
                self._manager.save(step, args=ocp.args.StandardSave(_named(leaves)))
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
    if hosts.is_first():
        with ocp.StandardCheckpointer(multiprocessing_options=hosts.alone()) as writer:
            writer.save(folder.absolute(), variables)


def load_nets(folder: Path) -> Any:
    """Read what `save_nets` wrote, as numpy; every process must call it."""
    nets = None
    if hosts.is_first():
        with ocp.StandardCheckpointer(multiprocessing_options=hosts.alone()) as reader:
            nets = jax.tree.map(np.asarray, reader.restore(folder.absolute()))
    return hosts.first_says(nets)


def _named(leaves: list[np.ndarray]) -> dict[str, np.ndarray]:
    # A flat dict: the state's own tree has classes that orbax would turn into others.
    return {f"{i:04d}": leaf for i, leaf in enumerate(leaves)}
