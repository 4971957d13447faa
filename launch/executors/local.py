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

from imjax.errors import Stopped, UserError
from launch import run_status
from launch.grid import SweepRun
from launch.progress_table import StatusTable

POLL_SECONDS = 0.25
MEMORY = 0.85
"""Of a GPU's memory that several runs on it may have together; each process takes some hundred MiB beside."""


@dataclasses.dataclass
class _Going:
    """A run in a process of its own."""

    point: SweepRun
    process: subprocess.Popen
    place: _Place


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


def run(points: Sequence[SweepRun], jobs: int = 0) -> list[SweepRun]:
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
    free, board = _places(jobs), StatusTable(points)
    waiting, failed = [], []
    for point in points:
        if run_status.finished(point):
            board.set(point, "finished", "before")
        else:
            waiting.append(point)
    going: list[_Going] = []
    with _saving(going, board):
        while waiting or going:
            while waiting and free:
                point = _next(waiting, going)
                waiting.remove(point)
                going.append(_start(point, points, free.pop(0), board))
            board.draw()
            time.sleep(POLL_SECONDS)
            for one in [one for one in going if one.process.poll() is not None]:
                going.remove(one)
                free.append(one.place)
                if not _ended(one, board):
                    failed.append(one.point)
    return [point for point in points if point in failed]


def gpus() -> list[str]:
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
    asked = subprocess.run(query, capture_output=True, text=True)
    return asked.stdout.split() if asked.returncode == 0 else []


def _places(jobs: int) -> list[_Place]:
    """Where runs can go at the same time, every GPU once before one is named again."""
    if jobs < 0:
        raise UserError(f"--jobs={jobs}: expected 0 or more; without the flag it is one run per GPU")
    found = gpus()
    if not found:
        return [_Place(None)] * max(jobs, 1)
    count = jobs or len(found)
    share = MEMORY / -(-count // len(found))
    return [_Place(found[i % len(found)], share) for i in range(count)]


def _next(waiting: Sequence[SweepRun], going: Sequence[_Going]) -> SweepRun:
    """The first point that begins unlike all that are going, since they would make the same stage twice."""
    begun = [run_status.beginning(one.point) for one in going]
    fresh = (point for point in waiting if not begun or run_status.beginning(point) not in begun)
    return next(fresh, waiting[0])


def _start(point: SweepRun, points: Sequence[SweepRun], place: _Place, board: StatusTable) -> _Going:
    reusable = run_status.begun(run_status.relatives(point, points))
    point.workdir.mkdir(parents=True, exist_ok=True)
    with run_status.log(point).open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            run_status.command(point, reusable),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | place.environment(),
            # A group of its own: Ctrl-C reaches this process only, which lets the run save itself.
            process_group=0,
        )
    board.set(point, "running", f"see {run_status.log(point)}")
    return _Going(point, process, place)


def _ended(one: _Going, board: StatusTable) -> bool:
    """Whether a run that ended is finished; raises `Stopped` where somebody stopped it."""
    code = one.process.returncode
    if run_status.finished(one.point) and not code:
        board.set(one.point, "finished")
        return True
    if code in (0, 130):
        board.set(one.point, "stopped")
        raise Stopped(f"in {one.point.name}")
    board.set(one.point, "FAILED", f"with exit code {code}")
    return False


@contextlib.contextmanager
def _saving(going: list[_Going], board: StatusTable) -> Iterator[None]:
    """On the way out let the runs that are going save themselves; at a second Ctrl-C end them."""
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        for one in going:
            one.process.send_signal(signal.SIGTERM)
            board.set(one.point, "saving")
        board.draw()
        try:
            for one in going:
                one.process.wait()
                board.set(one.point, "stopped")
        except KeyboardInterrupt:
            for one in going:
                one.process.kill()
        raise
    finally:
        board.draw()
