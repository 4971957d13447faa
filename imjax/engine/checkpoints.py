"""Checkpoints inside a training stage, and finished nets, through orbax."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from imjax.engine.members import Chunks, Members


class Checkpoints:
    """Steps of one stage under `D/checkpoints/<stage>`, the newest two kept.

    What is saved is laid out by member, not by device, so that a run can go on with other devices.
    """

    def __init__(self, folder: Path):
        self._folder = folder.absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=2, create=True)
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def restore(self, members: Members, state: Chunks) -> tuple[int, Chunks]:
        """The newest saved step and state; `(0, state)` if there is none."""
        step = self._manager.latest_step()
        if step is None:
            return 0, state
        leaves, tree = jax.tree.flatten(members.collect(state))
        saved = self._manager.restore(step, args=ocp.args.StandardRestore(_named(leaves)))
        return step, members.spread(tree.unflatten(saved[name] for name in _named(leaves)))

    def save(self, step: int, members: Members, state: Chunks, wait: bool = False) -> None:
        """Save the state after `step` steps; returns before it is written unless `wait`."""
        if self._manager.latest_step() != step:
            leaves = jax.tree.leaves(members.collect(state))
            self._manager.save(step, args=ocp.args.StandardSave(_named(leaves)))
        if wait:
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait for what is being written."""
        self._manager.wait_until_finished()
        self._manager.close()

    def remove(self) -> None:
        """The stage is done: its result is kept elsewhere."""
        self.close()
        shutil.rmtree(self._folder)


def save_nets(folder: Path, variables: Any) -> None:
    """Write nets, numpy leaves `[member, ...]`."""
    with ocp.StandardCheckpointer() as writer:
        writer.save(folder.absolute(), variables)


def load_nets(folder: Path) -> Any:
    """Read what `save_nets` wrote, as numpy."""
    with ocp.StandardCheckpointer() as reader:
        return jax.tree.map(np.asarray, reader.restore(folder.absolute()))


def _named(leaves: list[np.ndarray]) -> dict[str, np.ndarray]:
    # A flat dict: the state's own tree has classes that orbax would turn into others.
    return {f"{i:04d}": leaf for i, leaf in enumerate(leaves)}
