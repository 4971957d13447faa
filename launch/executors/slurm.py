"""Runs on a Slurm cluster through submitit: one job per run, all in one array.

A job that Slurm stops, because its time is over or somebody with more right came, asks its run to save itself
and goes back into the queue; the run goes on from there. The sweep command only watches: the jobs do not
need it, and the same command finds them again by the number in each run's folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import submitit

from imjax.errors import ErrorCode, Stopped, UserError
from imjax.json_io import read_json, write_json
from launch import run_status
from launch.grid import SweepRun
from launch.progress_table import StatusTable

JOB = "slurm.json"
"""In a run's folder: the job that was given it last."""
SUBMITIT_FOLDER = ".slurm"
"""In the sweep's root: what submitit hands to the jobs, and what they print before their run does."""
POLL_SECONDS = 2.0
SETTLE_SECONDS = 30
"""A job that is over may be known earlier than the files it wrote on another machine."""
SAVE_SECONDS = 120
"""Between Slurm's warning and the end of a job's time."""
TIMEOUTS = 100
"""Times that a job goes back into the queue because its time was over; what hangs would do so for ever."""
DEFAULTS = {"time": 240, "job_name": "imjax", "requeue": True, "cpus_per_task": 4}
NUMBERS = ("time", "nodes", "ntasks_per_node", "array_parallelism")
"""Options that submitit reads itself; all others are sbatch's."""
# CANCELLED is Slurm's own spelling.
DEAD = {"FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"}
DONE = {"COMPLETED", "PREEMPTED", "NODE_FAIL"}
"""States of jobs that are over; see `_Job.update`."""


def run_sweep(points: Sequence[SweepRun], root: Path, options: Sequence[str]) -> list[SweepRun]:
    """Run the points that are not finished, and wait for them; returns those that failed.

    Args:
        points: of the sweep.
        root: the folder of the runs' folders, which all machines see.
        options: `key=value` as sbatch has them; `time` in minutes, `array_parallelism` jobs at a time,
            and any number of `setup` commands that come before a run.

    Raises:
        UserError: no Slurm here, or an option is refused.
        Stopped: by Ctrl-C; the jobs go on.
    """
    executor, table = _make_executor(root, options), StatusTable(points)
    queue, jobs, fresh = _query_queue() or {}, [], []
    for point in points:
        name = _read_job_name(point)
        if run_status.is_finished(point):
            table.set_state(point, "finished", "before")
        elif queue.get(name, "COMPLETED") not in DEAD | DONE:
            jobs.append(_Job(name, point))
            table.set_state(point, "waiting", f"for job {name}, submitted before")
        else:
            fresh.append(point)
    for name, point in _submit_array(executor, fresh, points):
        jobs.append(_Job(name, point))
        table.set_state(point, "waiting", f"for job {name}")
    try:
        failed = _watch_jobs(jobs, table, root)
    except KeyboardInterrupt:
        arrays = " ".join(sorted({job.name.partition("_")[0] for job in jobs}))
        raise Stopped(f"the jobs go on by themselves, `scancel {arrays}` ends them") from None
    return [point for point in points if point in failed]


@dataclasses.dataclass
class Task:
    """What a job does: one run, in a process of its own. submitit pickles it and calls it in the job."""

    point: SweepRun
    related_folders: list[Path]

    def __call__(self) -> None:
        """Run until it is finished; raises RuntimeError where it fails."""
        self.point.workdir.mkdir(parents=True, exist_ok=True)
        with run_status.log_path(self.point).open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                run_status.build_command(self.point, run_status.select_started(self.related_folders)),
                stdout=log,
                stderr=subprocess.STDOUT,
                # Slurm's warning goes to every process of the job; this one turns it into SIGTERM.
                preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
            )
            code = self._process.wait()
        # Of a run on several hosts the first process writes the report; the others have nothing to show.
        if not code and (run_status.is_finished(self.point) or int(os.environ.get("SLURM_PROCID", 0))):
            return
        if code in (0, 130):
            # Slurm stopped the run and will stop this process: one that returned would count as done.
            time.sleep(SAVE_SECONDS)
        raise RuntimeError(f"exit code {code}, see {run_status.log_path(self.point)}")

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """At Slurm's warning: let the run save itself; returns what the job does next time."""
        self._process.terminate()
        # Not Popen.wait: this runs inside a signal handler, and who was interrupted holds its lock.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return submitit.helpers.DelayedSubmission(Task(self.point, self.related_folders))


def _make_executor(root: Path, options: Sequence[str]) -> submitit.SlurmExecutor:
    given = DEFAULTS | dict(_parse_option(text) for text in options if not text.startswith("setup="))
    parameters = {key: value for key, value in given.items() if key in NUMBERS}
    sbatch = {key: value for key, value in given.items() if key not in NUMBERS}
    setup = [text.removeprefix("setup=") for text in options if text.startswith("setup=")]
    try:
        executor = submitit.SlurmExecutor(root / SUBMITIT_FOLDER, max_num_timeout=TIMEOUTS)
    except RuntimeError as error:
        raise UserError(
            "--executor=slurm: srun is not to be found; run this on a machine of the cluster, "
            "or take --executor=local",
            code=ErrorCode.UNAVAILABLE,
            field="--executor",
        ) from error
    executor.update_parameters(
        **parameters, setup=setup, signal_delay_s=SAVE_SECONDS, additional_parameters=sbatch
    )
    return executor


def _parse_option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    key = key.replace("-", "_")
    if not equals or (key in NUMBERS and not value.isdigit()):
        wanted = "a whole number (time: minutes)" if key in NUMBERS else "key=value as of sbatch"
        raise UserError(
            f"--slurm={text}: expected {wanted}, e.g. --slurm=time=240 --slurm=gpus_per_node=1",
            code=ErrorCode.MALFORMED,
            field="--slurm",
        )
    return key, int(value) if key in NUMBERS else value


def _submit_array(
    executor: submitit.SlurmExecutor, fresh: Sequence[SweepRun], points: Sequence[SweepRun]
) -> list[tuple[str, SweepRun]]:
    """Submit one array; returns each job's name with its point."""
    if not fresh:
        return []
    try:
        with executor.batch():
            jobs = [
                executor.submit(Task(point, run_status.find_related_folders(point, points)))
                for point in fresh
            ]
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        reason = next((line for line in str(error).splitlines() if "error:" in line), str(error))
        raise UserError(
            f"--executor=slurm: {reason.strip()}; see --slurm and `sinfo`",
            code=ErrorCode.UNAVAILABLE,
            field="--executor",
        ) from error
    submitted = [(job.job_id, point) for job, point in zip(jobs, fresh, strict=True)]
    for name, point in submitted:
        point.workdir.mkdir(parents=True, exist_ok=True)
        write_json(point.workdir / JOB, {"job": name})
    return submitted


def _read_job_name(point: SweepRun) -> str:
    """Of the job that was given the point last; empty without one."""
    try:
        return str(read_json(point.workdir / JOB)["job"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _query_queue() -> dict[str, str] | None:
    """State of each job of this user that Slurm still knows; None if it does not answer."""
    command = ["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i %T"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode:
        return None
    return dict(line.split(maxsplit=1) for line in answer.stdout.splitlines() if " " in line.strip())


@dataclasses.dataclass
class _Job:
    """A job that is watched."""

    name: str
    point: SweepRun
    word: str = "waiting"
    over: float | None = None
    """When Slurm first said that it is."""

    def update(self, state: str, table: StatusTable) -> bool:
        """Take note of the state that Slurm has for the job; returns whether the job is over for good.

        A job that is said to be complete may have written files on another machine that are not seen here
        yet, and one that lost its place or its node may be on its way back into the queue.
        """
        if state in DEAD | DONE:
            self.over = self.over or time.monotonic()
            late = time.monotonic() > self.over + SETTLE_SECONDS
            return state in DEAD or late or run_status.is_finished(self.point)
        self.over = None
        word = {"PENDING": "waiting", "COMPLETING": self.word}.get(state, state.lower())
        if word != self.word:
            note = (
                "again" if word == "waiting" else f"as job {self.name}, see {run_status.log_path(self.point)}"
            )
            table.set_state(self.point, word, note)
            self.word = word
        return False


def _watch_jobs(jobs: Sequence[_Job], table: StatusTable, root: Path) -> list[SweepRun]:
    """Show the jobs until all are over; returns the points that failed.

    Slurm's accounting, which small clusters lack, is not asked: a job is over when the queue says so or
    forgot it, and a run is finished when its folder is.
    """
    left, failed = list(jobs), []
    while left:
        queue = _query_queue()
        states = {} if queue is None else {job.name: queue.get(job.name, "COMPLETED") for job in left}
        for job in [job for job in left if job.name in states and job.update(states[job.name], table)]:
            left.remove(job)
            if run_status.is_finished(job.point):
                table.set_state(job.point, "finished")
                continue
            state, printed = states[job.name], root / SUBMITIT_FOLDER / f"{job.name}_0_log.err"
            _append_to_log(job.point, f"job {job.name} ended as {state}; what it printed itself: {printed}")
            table.set_state(job.point, "FAILED", f"as {state}")
            failed.append(job.point)
        table.draw()
        if left:
            time.sleep(POLL_SECONDS)
    return failed


def _append_to_log(point: SweepRun, text: str) -> None:
    """A line in the run's log, which may not be there yet."""
    point.workdir.mkdir(parents=True, exist_ok=True)
    with run_status.log_path(point).open("a", encoding="utf-8") as log:
        log.write(text + "\n")
