"""How far a training is, from the lines that it prints where it has no terminal and from its metrics."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

LOG = "app.log"
"""In a run's folder: what its command said."""
RECENT = 1 << 16
"""Bytes at the end of a log or of the metrics that are looked at."""
STAGE = re.compile(r"stage (\d+)/(\d+) (\w+)[^:\n]*:(?: step (\d+)/(\d+)| (\d+) steps)?")
LOG_PREFIX = re.compile(r"^\d\d:\d\d:\d\d ")
LEAST_SHARE = 0.02
"""Of the run, done since it was first seen at work, before the time left is estimated."""


@dataclasses.dataclass(frozen=True)
class Position:
    """Where in its plan a run is."""

    stage: str = ""
    number: int = 0
    stages: int = 0
    step: int = 0
    steps: int = 0
    """0 where the stage does not train."""

    @property
    def share(self) -> float:
        """Of the run that is done, 0..1, with all stages alike."""
        if not self.stages:
            return 0.0
        inside = min(self.step / self.steps, 1) if self.steps else 0
        return (self.number - 1 + inside) / self.stages


def read_end(path: Path) -> str:
    """The last `RECENT` bytes of a text file; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - RECENT))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def read_position(workdir: Path) -> Position:
    """The last stage in the log, and the last step of it in the log or, sooner, in the metrics."""
    position = Position()
    for match in STAGE.finditer(read_end(workdir / LOG)):
        number, stages, stage, step, of, steps = match.groups()
        if stage != position.stage:
            position = Position(stage, int(number), int(stages))
        total = int(of or steps or position.steps)
        position = dataclasses.replace(position, step=int(step or position.step), steps=total)
    done = position.step
    for line in read_end(workdir / "metrics.jsonl").splitlines():
        try:
            record = json.loads(line)
            if record["stage"] == position.stage:
                done = max(done, int(record["step"]))
        except (ValueError, KeyError, TypeError):
            continue  # cut off at the start, or being written
    return dataclasses.replace(position, step=min(done, position.steps))


def describe_failure(log: Path) -> str:
    """The error that a command ended with: its last line that names it, or simply the last."""
    lines = [line.strip() for line in read_end(log).splitlines() if line.strip()]
    named = [line for line in lines if line.startswith("imjax: ")]
    last = named[-1:] or lines[-1:] or ["the command ended without a word"]
    return LOG_PREFIX.sub("", last[0].removeprefix("imjax: "))


class TimeLeft:
    """Estimates when a run ends, from how far it came since it was first seen at work.

    The first step is compiled before it runs, so that what a run says of itself then is far too long.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._first: tuple[float, float] | None = None

    def update(self, share: float) -> float | None:
        """Seconds left with `share` of the run done; None while that cannot be said."""
        now = self._clock()
        if self._first is None:
            if share > 0:
                self._first = now, share
            return None
        start, before = self._first
        done = share - before
        return None if done < LEAST_SHARE else (1 - share) * (now - start) / done
