"""Several processes that run one command together, on one host or many: what each has, and what all know.

All of them hold all the data and go through the same stages in the same order. Members are shared out
(`engine.members`), and what they computed is gathered at once, so that every process decides the same from
the same numbers. The first process writes the run's folder; the others have folders of their own for the time
of the run. A single process is the first of one, and nothing here does anything then.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from imjax.errors import UserError
from imjax.log import logger

Tree = Any

AGREE_STEPS = 8
"""Calls of `agreed` between two in which the processes ask one another."""
LEAVE_SECONDS = 60
"""A process that failed waits so long for the others, which then are ended, too."""


def start(pod: bool = False, environment: Mapping[str, str] = os.environ) -> None:
    """Join the other processes, if the environment tells of any; before anything touches a device.

    It does by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, by the variables that Slurm's
    srun gives to each of several tasks, or by a TPU pod's list of hosts.

    Args:
        pod: join as on a TPU pod although no variable tells of one.
        environment: the variables.

    Raises:
        UserError: what the environment tells does not fit together, or the others do not come.
    """
    how = arguments(pod, environment)
    if how is None:
        return
    # JAX would take SIGTERM, by which a run is asked to save itself.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(**how, shutdown_timeout_seconds=LEAVE_SECONDS)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"the run's processes do not find one another ({reason}); see docs/how-to/sweeps.md"
        ) from error
    if not is_first():
        # One voice is enough; warnings and errors are of this process alone.
        logger.setLevel(logging.WARNING)


def arguments(pod: bool, environment: Mapping[str, str]) -> dict[str, Any] | None:
    """What `jax.distributed.initialize` is called with; None for a process by itself.

    Raises:
        UserError: an address without a number, or a number that is none.
    """
    if address := environment.get("JAX_COORDINATOR_ADDRESS"):
        try:
            count, number = (int(environment[name]) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
        except (KeyError, ValueError) as error:
            raise UserError(
                f"JAX_COORDINATOR_ADDRESS={address}: expected JAX_NUM_PROCESSES and JAX_PROCESS_ID beside "
                f"it, whole numbers, the second from 0 ({error})"
            ) from error
        given = {"coordinator_address": address, "num_processes": count, "process_id": number}
        return given | {"cluster_detection_method": "deactivate"}
    # Of the step, not of the job: a script that sbatch runs is alone, however many tasks its job may have.
    if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1 and "SLURM_PROCID" in environment:
        return {"cluster_detection_method": "slurm"}
    return {} if pod or "," in environment.get("TPU_WORKER_HOSTNAMES", "") else None


def count() -> int:
    """Processes of the run."""
    return jax.process_count()


def is_first() -> bool:
    """Whether this process writes the run's folder."""
    return jax.process_index() == 0


def share(members: int) -> np.ndarray:
    """Members of this process, as many for each process; the last one fills up."""
    each = -(-members // count())
    return np.minimum(np.arange(each) + jax.process_index() * each, members - 1)


def gather(tree: Tree) -> Tree:
    """Numpy leaves `[n, ...]`, of the same shapes in every process → `[processes · n, ...]` in all."""
    if count() == 1:
        return tree
    leaves, shape = jax.tree.flatten(tree)
    # One row of bytes: one program, and every bit as it was, whatever the types.
    row = np.frombuffer(b"".join(leaf.tobytes() for leaf in leaves), np.uint8)
    rows = np.asarray(multihost_utils.process_allgather(row))
    out, end = [], 0
    for leaf in leaves:
        start, end = end, end + leaf.nbytes
        parts = [np.frombuffer(one[start:end].tobytes(), leaf.dtype).reshape(leaf.shape) for one in rows]
        out.append(np.concatenate(parts))
    return shape.unflatten(out)


def first_says(value: Any) -> Any:
    """What the first process says, for all: any value that can be pickled; the others' does not matter."""
    if count() == 1:
        return value
    text = np.frombuffer(pickle.dumps(value), np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    said = multihost_utils.broadcast_one_to_all(np.resize(text, length))
    return pickle.loads(np.asarray(said, np.uint8).tobytes())


def same(what: str, digest: str) -> None:
    """Make sure that all processes have the same.

    Args:
        what: for the message.
        digest: of it, as long in every process.

    Raises:
        UserError: in all of them, if not.
    """
    digests = gather(np.frombuffer(digest.encode(), np.uint8)[None])
    if len({row.tobytes() for row in digests}) > 1:
        found = ", ".join(row.tobytes().decode()[:12] for row in digests)
        raise UserError(f"the run's processes have different {what} ({found}); give all of them the same")


def agreed(asked: Callable[[], bool]) -> Callable[[], bool]:
    """A function that is True in all processes at the same call, soon after it was asked for in one."""
    if count() == 1:
        return asked
    calls = itertools.count()

    def stopping() -> bool:
        return next(calls) % AGREE_STEPS == 0 and bool(gather(np.array([asked()])).any())

    return stopping


def wait() -> None:
    """Until all processes have come here."""
    gather(np.zeros(1, np.uint8))


@contextlib.contextmanager
def folder(workdir: Path) -> Iterator[Path]:
    """The folder that this process writes to: the run's, or one of its own that goes with it."""
    if is_first():
        yield workdir
        return
    with tempfile.TemporaryDirectory(prefix="imjax-") as own:
        yield Path(own)


def alone() -> ocp.options.MultiprocessingOptions:
    """For orbax: the first process reads and writes by itself."""
    return ocp.options.MultiprocessingOptions(active_processes={0} if count() > 1 else None)
