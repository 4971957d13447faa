"""One run of a sweep seen from outside: its command, what it shares with others, and how far it is."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imjax.json_io import read_json
from imjax.pipeline.artifacts import shared_inputs
from imjax.pipeline.plan import make_plan
from imjax.pipeline.workdir import result_settings
from launch.grid import SweepRun

LOG = "sweep.log"
"""In a run's folder: what its command said."""
TAIL = 5
"""Lines of the log of a failed run that are shown."""
RECENT = 8192
"""Bytes at the end of a log that are searched for the run's position."""


def log_path(point: SweepRun) -> Path:
    """The run's log."""
    return point.workdir / LOG


def build_command(point: SweepRun, reusable_runs: Sequence[Path] = ()) -> list[str]:
    """What runs the point in a process of its own."""
    reuse = [f"--reuse={workdir}" for workdir in reusable_runs]
    return [sys.executable, "-m", "imjax.main", *point.flags, f"--workdir={point.workdir}", *reuse]


def find_related_folders(point: SweepRun, points: Sequence[SweepRun]) -> list[Path]:
    """Folders of the other points on the same dataset, whether there is anything in them or not."""
    dataset = point.config.data.dataset
    return [p.workdir for p in points if p is not point and p.config.data.dataset == dataset]


def select_started(workdirs: Sequence[Path]) -> list[Path]:
    """Those of the folders in which a run has started.

    Stages of a run that is still going can be reused too: a stage's folder appears when it is complete, and
    each run looks for it again before each of its stages.
    """
    return [workdir for workdir in workdirs if (workdir / "config.json").is_file()]


def first_stage_key(point: SweepRun) -> Any:
    """Equal for points that share their first stage: data, all that every stage depends on, and the stage."""
    config = point.config
    # The packed data, whose hash the digest of a stage has, are known to the runs only.
    return config.data, shared_inputs(config, data_digest=""), make_plan(config)[0]


def is_finished(point: SweepRun) -> bool:
    """Whether the point's folder has the report of a run with its configuration."""
    try:
        settings = result_settings(read_json(point.workdir / "config.json")["config"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    wanted = result_settings(dataclasses.asdict(point.config))
    matching = all(settings.get(key) == value for key, value in wanted.items())
    return matching and (point.workdir / "report.html").is_file()


def describe_state(point: SweepRun) -> str:
    """What the folder says of a point that is not being run: finished, started or new."""
    return "finished" if is_finished(point) else "started" if point.workdir.exists() else "new"


def read_position(point: SweepRun) -> str:
    """Stage, and step where the log has it, that the run's log names last; empty before the first."""
    try:
        with log_path(point).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - RECENT))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    matches = re.findall(r"stage (\d+/\d+ \w+)[^\n:]*:(?: step (\d+/\d+))?", text)
    return " step ".join(filter(None, matches[-1])) if matches else ""


def summarize_failures(failed: Sequence[SweepRun], total: int) -> str:
    """Failed runs with the ends of their logs."""
    lines = [f"{len(failed)} of {total} runs failed; the same command tries them again"]
    for point in failed:
        try:
            text = log_path(point).read_text(encoding="utf-8", errors="replace")
        except OSError:
            lines.append(f"{point.name}: ended before it wrote {log_path(point)}")
            continue
        lines.append(f"{point.name}: {log_path(point)} ends with")
        lines += [f"  {line}" for line in text.splitlines()[-TAIL:]]
    return "\n".join(lines)
