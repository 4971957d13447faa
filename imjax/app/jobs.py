"""Trainings and predictions that the page starts: one process at a time, and what became of those before."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

from imjax.app import progress_log
from imjax.app.folder_store import FolderStore
from imjax.app.predictions import PredictionFiles
from imjax.app.progress_log import TimeLeft
from imjax.errors import ErrorCode, UserError, file_error
from imjax.pipeline.lock import Watch
from imjax.processes import PARENT

State = Literal["running", "elsewhere", "finished", "stopped", "failed"]

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
PREDICTION_LOG = "predictions.log"
SOURCE = "source.txt"
"""In a run's folder: the name of the run that it started from, if any."""
STOPPED = (0, -signal.SIGTERM)
"""Exit codes of a process that was asked to stop: saved, or before it had begun."""
STOP_SECONDS = 60
"""For a training to save itself when the page's server ends."""


@dataclasses.dataclass(frozen=True)
class Preset:
    """A way to train."""

    name: str
    title: str
    config: str
    hint: str


PRESETS = (
    Preset(
        "recommended",
        "Recommended",
        "folder:small",
        "Minutes to an hour on two cores, less on a GPU.",
    ),
    Preset("quick", "Quick test", "folder_ldt:tiny", "One or two minutes. Only shows that everything works."),
    Preset("full", "Full size", "folder", "Larger images and networks. Needs a GPU."),
)


@dataclasses.dataclass(frozen=True)
class RunStatus:
    """A run as the page shows it."""

    name: str
    state: State
    title: str
    stage: str = ""
    step: int = 0
    steps: int = 0
    share: float = 0.0
    seconds_left: float | None = None
    message: str = ""
    """Why it, or the prediction by it, failed."""
    predicted: int = 0
    """Images with a prediction."""
    predicting: bool = False
    has_report: bool = False


class Jobs:
    """Runs in a folder of runs, of which at most one is at work.

    Args:
        store: the images.
        runs: where runs are and will be.
    """

    def __init__(self, store: FolderStore, runs: Path):
        self._store, self.runs = store, runs
        self._process: subprocess.Popen[bytes] | None = None
        self._name = ""
        self._predicting = False
        self._exit_codes: dict[str, int] = {}
        self._unpredicted: dict[str, bool] = {}
        self._time_left = TimeLeft()

    def list_names(self) -> list[str]:
        """Runs that are there, newest first."""
        try:
            folders = [path for path in self.runs.iterdir() if _is_run(path)]
        except OSError:
            return []
        return [path.name for path in sorted(folders, key=lambda path: path.name, reverse=True)]

    def workdir(self, name: str) -> Path:
        """The folder of a run; UserError if there is none."""
        if name not in self.list_names():
            raise UserError(
                f"run {name!r}: not there; choose one of the list", code=ErrorCode.UNKNOWN, field="run"
            )
        return self.runs / name

    def start(self, preset: str, source: str = "") -> str:
        """Start a training; returns its name.

        To be called in the main thread: the system ends the process with the thread that started it.

        Args:
            preset: of `PRESETS`.
            source: a finished run of that preset whose nets and test images are kept; or none.

        Raises:
            UserError: another process is at work, no such preset or source, or the folder of runs cannot be
                written.
        """
        chosen = next((each for each in PRESETS if each.name == preset), None)
        if chosen is None:
            names = ", ".join(each.name for each in PRESETS)
            raise UserError(
                f"preset {preset!r}: expected one of {names}", code=ErrorCode.OUT_OF_RANGE, field="preset"
            )
        numbers = [int(match[1]) for name in self.list_names() if (match := re.match(r"run-(\d+)", name))]
        name = f"run-{max(numbers, default=0) + 1:03d}-{preset}"
        same_kind = [each for each in self.list_names() if each.endswith(f"-{preset}")]
        if source and (source not in same_kind or self.status(source).state != "finished"):
            raise UserError(
                f"run {source!r}: expected a finished run of the same kind, {preset!r}, to go on from",
                code=ErrorCode.CONFLICT,
                field="source",
            )
        self._begin(name, chosen, source)
        return name

    def resume(self, name: str) -> None:
        """Go on with a run that was stopped or has failed; as `start`."""
        workdir = self.workdir(name)
        preset = next((each for each in PRESETS if name.endswith(f"-{each.name}")), None)
        source = workdir / SOURCE
        if preset is None or self.status(name).state not in ("stopped", "failed"):
            raise UserError(
                f"run {name!r} was not stopped, or was not started here; give its own command again",
                code=ErrorCode.CONFLICT,
                field="run",
            )
        self._begin(workdir.name, preset, source.read_text("utf-8") if source.is_file() else "")

    def _begin(self, name: str, preset: Preset, source: str) -> None:
        workdir = self.runs / name
        command = ["-m", "imjax.cli", "train", f"--config={preset.config}", f"--data={self._store.raw}"]
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            if source:
                command.append(f"--from={self.workdir(source)}")
                # To go on after a stop takes the same command.
                (workdir / SOURCE).write_text(source, "utf-8")
        except OSError as error:
            raise file_error(
                workdir, f"cannot be made ({error.strerror}); name another --runs", ErrorCode.UNWRITABLE
            ) from error
        self._start_process(name, [*command, f"--workdir={workdir}"], workdir / progress_log.LOG)
        self._exit_codes.pop(name, None)
        self._time_left = TimeLeft()

    def predict(self, name: str) -> None:
        """Start predicting all images by a run; as `start`."""
        workdir = self.workdir(name)
        command = ["-m", "imjax.app.predictions", str(workdir), str(self._store.raw)]
        self._start_process(name, command, workdir / PREDICTION_LOG)
        self._predicting = True
        self._unpredicted.pop(name, None)

    def _start_process(self, name: str, arguments: list[str], log: Path) -> None:
        self.poll()
        if self._process is not None:
            raise UserError(
                f"{self._name} is at work; wait for it or stop it", code=ErrorCode.IN_USE, field="run"
            )
        environment = os.environ | {PARENT: str(os.getpid())}
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                # Ctrl-C in the terminal is for the page: it then stops a training in the way that saves it.
                start_new_session=True,
            )
        self._name, self._predicting = name, False

    def poll(self) -> None:
        """Take note of a process that has ended; after a training start to predict. In the main thread."""
        if self._process is None or (code := self._process.poll()) is None:
            return
        name, was_training = self._name, not self._predicting
        self._process, self._predicting = None, False
        if not was_training:
            self._unpredicted[name] = code not in STOPPED
        else:
            self._exit_codes[name] = code
            if self.status(name).state == "finished":
                self.predict(name)

    def stop(self, name: str) -> None:
        """Ask the process of a run to stop, at which a training saves itself; UserError if it has none."""
        if self._process is None or self._name != name:
            raise UserError(f"run {name!r} is not at work here", code=ErrorCode.CONFLICT, field="run")
        self._process.terminate()

    def close(self) -> None:
        """Stop what is at work and wait for it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def status(self, name: str) -> RunStatus:
        """How far a run is."""
        workdir = self.workdir(name)
        at_work = self._process is not None and self._name == name
        files = PredictionFiles(workdir)
        common = RunStatus(
            name, self._find_state(name), _title(name),
            predicted=len(files.read_scores(self._store)), predicting=at_work and self._predicting,
            has_report=(workdir / "report.html").is_file(),
        )  # fmt: skip
        if common.state == "finished":
            failed = self._unpredicted.get(name, False)
            message = progress_log.describe_failure(workdir / PREDICTION_LOG) if failed else ""
            return dataclasses.replace(common, share=1.0, message=message)
        log = workdir / progress_log.LOG
        position = progress_log.read_position(workdir)
        is_here = at_work and not self._predicting
        return dataclasses.replace(
            common, stage=position.stage, step=position.step, steps=position.steps, share=position.share,
            seconds_left=self._time_left.update(position.share) if is_here else None,
            message=progress_log.describe_failure(log) if common.state == "failed" else "",
        )  # fmt: skip

    def _find_state(self, name: str) -> State:
        workdir = self.runs / name
        if self._process is not None and self._name == name and not self._predicting:
            return "running"
        if Watch(workdir).is_held():
            return "elsewhere"
        if (workdir / "report.html").is_file() and (workdir / "results.csv").is_file():
            return "finished"
        code = self._exit_codes.get(name)
        if code is None and not (workdir / "config.json").is_file():
            return "failed"
        return "stopped" if code is None or code in STOPPED else "failed"


def _is_run(path: Path) -> bool:
    """Whether a folder is one of a run, or of a command that did not come to be one."""
    made = (path / "config.json").is_file() or (path / progress_log.LOG).is_file()
    return bool(RUN_NAME.fullmatch(path.name)) and path.is_dir() and made


def _title(name: str) -> str:
    match = re.fullmatch(r"run-(\d+)-(\w+)", name)
    titles = {preset.name: preset.title for preset in PRESETS}
    return f"Run {int(match[1])} · {titles[match[2]]}" if match and match[2] in titles else name
