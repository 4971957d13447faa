"""Several processes that run one command together, on one host or many.

All of them hold all the data and go through the same stages in the same order. Members are divided among them
(`training.ensemble_parallel`), and results are gathered at once, so that every process makes the same
decisions from the same numbers. The first process writes the run's folder; the others write to temporary
folders. With a single process every function here returns at once.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from imjax.errors import ErrorCode, UserError
from imjax.log import logger

Tree = Any

SYNC_CALLS = 8
"""Calls of a `synchronized_flag` per exchange between the processes."""
LEAVE_SECONDS = 60
"""How long a failed process waits for the others, which are ended then."""


def start(pod: bool = False, environment: Mapping[str, str] = os.environ) -> None:
    """Join the other processes, if the environment names any; call it before anything touches a device.

    They are named by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, by the variables that
    Slurm's srun gives to each of several tasks, or by a TPU pod's list of hosts.

    Args:
        pod: join as on a TPU pod even without such a list.
        environment: the variables.

    Raises:
        UserError: the variables are inconsistent, or the other processes cannot be reached.
    """
    how = arguments(pod, environment)
    if how is None:
        return
    # Otherwise JAX would catch SIGTERM, which asks a run to save its state.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(**how, shutdown_timeout_seconds=LEAVE_SECONDS)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"the run's processes cannot reach each other ({reason}); see docs/how-to/sweeps.md",
            code=ErrorCode.UNAVAILABLE,
        ) from error
    if not is_first():
        # The first process logs for all; warnings and errors may be of this process alone.
        logger.setLevel(logging.WARNING)


def arguments(pod: bool, environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Arguments of `jax.distributed.initialize`; None for a single process.

    Raises:
        UserError: an address without valid numbers of processes.
    """
    if address := environment.get("JAX_COORDINATOR_ADDRESS"):
        try:
            count, number = (int(environment[name]) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
        except (KeyError, ValueError) as error:
            raise UserError(
                f"JAX_COORDINATOR_ADDRESS={address}: expected JAX_NUM_PROCESSES and JAX_PROCESS_ID beside "
                f"it, whole numbers, the second from 0 ({error})",
                code=ErrorCode.MALFORMED,
                field="JAX_COORDINATOR_ADDRESS",
            ) from error
        given = {"coordinator_address": address, "num_processes": count, "process_id": number}
        return given | {"cluster_detection_method": "deactivate"}
    # The step's tasks, not the job's: a script run by sbatch is a single process, whatever its job asks for.
    if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1 and "SLURM_PROCID" in environment:
        return {"cluster_detection_method": "slurm"}
    return {} if pod or "," in environment.get("TPU_WORKER_HOSTNAMES", "") else None


def count() -> int:
    """Number of processes of the run."""
    return jax.process_count()


def is_first() -> bool:
    """Whether this process writes the run's folder."""
    return jax.process_index() == 0


def local_members(members: int) -> np.ndarray:
    """Indices of this process's members, equally many per process; the last member fills up."""
    each = -(-members // count())
    return np.minimum(np.arange(each) + jax.process_index() * each, members - 1)


def gather(tree: Tree) -> Tree:
    """Numpy leaves `[n, ...]`, of the same shapes in every process → `[processes · n, ...]` in all."""
    if count() == 1:
        return tree
    leaves, shape = jax.tree.flatten(tree)
    # One row of bytes: a single program for all dtypes, and bits stay as they are.
    row = np.frombuffer(b"".join(leaf.tobytes() for leaf in leaves), np.uint8)
    rows = np.asarray(multihost_utils.process_allgather(row))
    gathered, end = [], 0
    for leaf in leaves:
        start, end = end, end + leaf.nbytes
        parts = [np.frombuffer(part[start:end].tobytes(), leaf.dtype).reshape(leaf.shape) for part in rows]
        gathered.append(np.concatenate(parts))
    return jax.tree.unflatten(shape, gathered)


def broadcast_from_first(value: Any) -> Any:
    """The first process's value in every process; the others' values are ignored.

    Args:
        value: what JSON can hold; a tuple arrives as a list, in the first process too.
    """
    if count() == 1:
        return value
    return json.loads(_broadcast_bytes(json.dumps(value).encode()))


def broadcast_arrays_from_first(tree: Tree) -> Tree:
    """The first process's arrays in every process; the others' trees are ignored.

    Args:
        tree: nested dicts with names as keys and numpy leaves.
    """
    if count() == 1:
        return tree
    # Only the first process knows the structure: it is sent ahead of the bytes, each leaf as a list.
    header = broadcast_from_first(jax.tree.map(lambda leaf: [leaf.dtype.name, *leaf.shape], tree))
    specs, structure = jax.tree.flatten(header, is_leaf=lambda node: isinstance(node, list))
    data = _broadcast_bytes(b"".join(leaf.tobytes() for leaf in jax.tree.leaves(tree)))
    leaves, end = [], 0
    for name, *shape in specs:
        start, end = end, end + math.prod(shape) * jnp.dtype(name).itemsize
        leaves.append(np.frombuffer(bytearray(data[start:end]), jnp.dtype(name)).reshape(shape))
    return jax.tree.unflatten(structure, leaves)


def _broadcast_bytes(data: bytes) -> bytes:
    # The length first: all processes must take part with equal shapes. In two halves, and arrays as bytes:
    # without x64 JAX would round 64-bit numbers to 32 bits on the way.
    halves = np.array([len(data)], np.int64).view(np.uint32)
    received = np.asarray(multihost_utils.broadcast_one_to_all(halves), np.uint32)
    length = int(received.view(np.int64)[0])
    row = np.frombuffer(data, np.uint8) if is_first() else np.zeros(length, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(row), np.uint8).tobytes()


def assert_equal_across_processes(what: str, digest: str) -> None:
    """Check that a digest is equal in all processes.

    Args:
        what: what it is of, for the message.
        digest: of equal length in every process.

    Raises:
        UserError: in all processes, if the digests differ.
    """
    digests = gather(np.frombuffer(digest.encode(), np.uint8)[None])
    if len({row.tobytes() for row in digests}) > 1:
        prefixes = ", ".join(row.tobytes().decode()[:12] for row in digests)
        raise UserError(
            f"the run's processes have different {what} ({prefixes}); start all of them with the same",
            code=ErrorCode.CONFLICT,
            field=what,
        )


def synchronized_flag(requested: Callable[[], bool]) -> Callable[[], bool]:
    """A function that returns True in all processes at the same call, soon after `requested` does in one."""
    if count() == 1:
        return requested
    calls = itertools.count()

    def stopping() -> bool:
        return next(calls) % SYNC_CALLS == 0 and bool(gather(np.array([requested()])).any())

    return stopping


def barrier() -> None:
    """Wait until all processes have arrived here."""
    if count() > 1:
        multihost_utils.sync_global_devices("imjax")


@contextlib.contextmanager
def folder(workdir: Path) -> Iterator[Path]:
    """The folder that this process writes to: the run's, or a temporary one."""
    if is_first():
        yield workdir
        return
    with tempfile.TemporaryDirectory(prefix="imjax-") as temporary:
        yield Path(temporary)


def first_process_only() -> ocp.options.MultiprocessingOptions:
    """Orbax options with which the first process alone reads and writes."""
    return ocp.options.MultiprocessingOptions(active_processes={0} if count() > 1 else None)
