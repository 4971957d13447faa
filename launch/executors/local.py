"""Runs on this machine: one per GPU at a time, or so many as `--jobs` says, which then share the GPUs."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imjax.errors import ErrorCode, Stopped, UserError
from imjax.pipeline.lock import Watch
from imjax.processes import PARENT
from launch import run_status
from launch.grid import SweepRun
from launch.progress_table import StatusTable

POLL_SECONDS = 0.25
MEMORY = 0.85
"""Of a GPU's memory that several runs on it may have together; each process takes some hundred MiB beside."""


@dataclasses.dataclass
class _ActiveRun:
    """A run in a process of its own."""

    point: SweepRun
    process: subprocess.Popen
    place: _Place


class _HeldRun(NamedTuple):
    """A run that another command's process is making, such as that of a sweep that was killed."""

    point: SweepRun
    watch: Watch
    place: _Place
    """Kept free for it: it needs a device too."""


class _Place(NamedTuple):
    """Where a run may go."""

    gpu: str | None
    """None: wherever JAX puts it."""
    share: float = MEMORY
    """Of the GPU's memory."""

    def environment(self) -> dict[str, str]:
        """Environment variables of a run there."""
        if self.gpu is None:
            return {}
        variables = {"CUDA_VISIBLE_DEVICES": self.gpu}
        # JAX would give three quarters of the memory to each. What the caller has said of it stands.
        if self.share < MEMORY and not any(name.startswith("XLA_PYTHON_CLIENT_") for name in os.environ):
            variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{self.share:.3f}"
        return variables


def run_sweep(points: Sequence[SweepRun], jobs: int = 0) -> list[SweepRun]:
    """Run the points that are not finished; returns those that failed.

    Args:
        points: in their order, but that a run whose first stage is being made by another waits if one that
            begins differently can go first.
        jobs: runs at a time, of which more than there are GPUs share them; 0: one per GPU, one without a GPU.

    Raises:
        UserError: a negative number.
        Stopped: a run was stopped from outside; all have saved themselves.
        KeyboardInterrupt: Ctrl-C or, where the caller makes it one, SIGTERM; all have saved themselves.
    """
    free, table = _list_places(jobs), StatusTable(points)
    waiting, failed = [], []
    for point in points:
        if run_status.is_finished(point):
            table.set_state(point, "finished", "before")
        else:
            waiting.append(point)
    active: list[_ActiveRun] = []
    held: list[_HeldRun] = []
    with _save_on_exit(active, table):
        while waiting or active or held:
            while waiting and free:
                point = _choose_next(waiting, active)
                waiting.remove(point)
                watch = Watch(point.workdir)
                if watch.is_held():
                    table.set_state(point, "elsewhere", f"as {watch.describe()}; waiting for it")
                    held.append(_HeldRun(point, watch, free.pop(0)))
                    continue
                active.append(_start_run(point, points, free.pop(0), table))
            table.draw()
            time.sleep(POLL_SECONDS)
            for run in [run for run in active if run.process.poll() is not None]:
                active.remove(run)
                free.append(run.place)
                if not _check_end(run, table):
                    failed.append(run.point)
            for other in [other for other in held if not other.watch.is_held()]:
                held.remove(other)
                free.append(other.place)
                if run_status.is_finished(other.point):
                    table.set_state(other.point, "finished", "by the other process")
                else:
                    waiting.append(other.point)
    return [point for point in points if point in failed]


def list_gpus() -> list[str]:
    """GPUs that runs may have, as CUDA_VISIBLE_DEVICES names them.

    That variable is believed where it is set, else nvidia-smi is asked. JAX is not: it would take hold of
    every GPU's memory in this process.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if (platforms and not {"cuda", "gpu"} & set(platforms.split(","))) or not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True)
    return answer.stdout.split() if answer.returncode == 0 else []


def _list_places(jobs: int) -> list[_Place]:
    """Where runs can go at the same time, every GPU once before one is named again."""
    if jobs < 0:
        raise UserError(
            f"--jobs={jobs}: expected 0 or more; without the flag it is one run per GPU",
            code=ErrorCode.OUT_OF_RANGE,
            field="--jobs",
        )
    names = list_gpus()
    if not names:
        return [_Place(None)] * max(jobs, 1)
    count = jobs or len(names)
    share = MEMORY / -(-count // len(names))
    return [_Place(names[i % len(names)], share) for i in range(count)]


def _choose_next(waiting: Sequence[SweepRun], active: Sequence[_ActiveRun]) -> SweepRun:
    """The first point that begins unlike all that are going, since they would make the same stage twice."""
    started = [run_status.first_stage_key(run.point) for run in active]
    unshared = (point for point in waiting if not started or run_status.first_stage_key(point) not in started)
    return next(unshared, waiting[0])


def _start_run(point: SweepRun, points: Sequence[SweepRun], place: _Place, table: StatusTable) -> _ActiveRun:
    reusable = run_status.select_started(run_status.find_related_folders(point, points))
    point.workdir.mkdir(parents=True, exist_ok=True)
    with run_status.log_path(point).open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            run_status.build_command(point, reusable),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | place.environment() | {PARENT: str(os.getpid())},
            # A group of its own: Ctrl-C reaches this process only, which lets the run save itself.
            process_group=0,
        )
    table.set_state(point, "running", f"see {run_status.log_path(point)}")
    return _ActiveRun(point, process, place)


def _check_end(run: _ActiveRun, table: StatusTable) -> bool:
    """Whether a run that ended is finished; raises `Stopped` where somebody stopped it."""
    code = run.process.returncode
    if run_status.is_finished(run.point) and not code:
        table.set_state(run.point, "finished")
        return True
    if code in (0, 130):
        table.set_state(run.point, "stopped")
        raise Stopped(f"in {run.point.name}")
    table.set_state(run.point, "FAILED", f"with exit code {code}")
    return False


@contextlib.contextmanager
def _save_on_exit(active: list[_ActiveRun], table: StatusTable) -> Iterator[None]:
    """On the way out let the runs that are going save themselves; at a second Ctrl-C end them."""
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        for run in active:
            run.process.send_signal(signal.SIGTERM)
            table.set_state(run.point, "saving")
        table.draw()
        try:
            for run in active:
                run.process.wait()
                table.set_state(run.point, "stopped")
        except KeyboardInterrupt:
            for run in active:
                run.process.kill()
        raise
    finally:
        table.draw()
