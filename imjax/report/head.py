"""The head of the page: when, how long and at what size the runs were made, and what to do next."""

from __future__ import annotations

import datetime
import itertools
import re
import shlex
from collections.abc import Sequence

from imjax.report import names
from imjax.report.load import RunRecord
from imjax.report.timing import format_duration

SMOKE_PRESET = "tiny"
"""Preset whose runs show that everything works, and nothing else."""
MIN_STEPS = 200
"""Optimizer steps of the longest training; after fewer, nets have hardly begun to learn."""
FEW = 3
"""So many configurations are named."""


def describe_making(runs: Sequence[RunRecord]) -> str:
    """`2 runs; last stage finished on 2026-03-01, 12:30 UTC; 2 h 05 min for all stages; demo:small.`"""
    stages = [stage for run in runs for stage in run.stages]
    parts = [f"{len(runs)} runs"] if len(runs) > 1 else []
    if finished := [stage.finished for stage in stages if stage.finished is not None]:
        date = datetime.datetime.fromtimestamp(max(finished), datetime.UTC)
        parts.append(f"last stage finished on {date:%Y-%m-%d, %H:%M} UTC")
    if seconds := sum(float(stage.metadata.get("seconds") or 0) for stage in stages):
        parts.append(f"{format_duration(seconds)} for all stages")
    configurations = list(dict.fromkeys(name for run in runs if (name := find_configuration(run))))
    if configurations:
        named = ", ".join(configurations[:FEW])
        others = f" and {len(configurations) - FEW} others" if len(configurations) > FEW else ""
        parts.append(f"configuration {named}{others}")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def find_configuration(run: RunRecord) -> str:
    """Name or file of the configuration, with its preset, as it was given; empty where it is not recorded."""
    for word, following in itertools.pairwise([*run.record.get("command", []), ""]):
        if match := re.fullmatch(r"--?config(?:=(.*))?", word):
            return following if match[1] is None else match[1]
    return ""


def _is_smoke_run(run: RunRecord) -> bool:
    if find_configuration(run).partition(":")[2] == SMOKE_PRESET:
        return True
    steps = _list_steps(run)
    return bool(steps) and max(steps) < MIN_STEPS


def _list_steps(run: RunRecord) -> list[int]:
    return [stage.training["steps"] for stage in run.stages if stage.training.get("steps")]


def warn_smoke_runs(runs: Sequence[RunRecord]) -> list[str]:
    """A line on runs that are too short for their figures to mean anything."""
    smoke = [run for run in runs if _is_smoke_run(run)]
    if not smoke:
        return []
    titles = dict.fromkeys(names.method_title(run.method) for run in smoke)
    where = "" if len(smoke) == len(runs) else f" ({', '.join(titles)})"
    steps = [count for run in smoke for count in _list_steps(run)]
    most = f", of at most {max(steps):,} optimizer steps for a net" if steps else ""
    return [
        f"Smoke run{where}{most}: it shows that everything works. Its figures say nothing about the methods "
        "or the data."
    ]


def suggest_next_steps(runs: Sequence[RunRecord], unfinished: bool) -> list[tuple[str, str]]:
    """(What for, command) of what a reader may do now.

    Args:
        runs: on the page.
        unfinished: whether a run among them is not at its end.
    """
    folders = [str(run.workdir) for run in runs]
    steps = []
    if len(runs) == 1:
        run, workdir = runs[0], shlex.quote(folders[0])
        name, _, preset = find_configuration(run).partition(":")
        if unfinished and run.record.get("command"):
            steps.append(("Go on with the run:", shlex.join(run.record["command"])))
        elif preset == SMOKE_PRESET:
            steps.append(("Train for figures that mean something:", _format_small_run(run, name)))
        if any(stage.training.get("ranked") for stage in run.stages):
            steps.append(
                ("Masks for other images:", f"imjax predict --workdir={workdir} --images=IMAGES --out=MASKS")
            )
        if run.spec.name.startswith("folder_"):
            steps.append(("Images to mask next, worst first:", f"imjax suggest --workdir={workdir}"))
        steps.append(("Every curve:", f"tensorboard --logdir={workdir}"))
    given = shlex.join(folders) if len(folders) <= FEW else "RUNS"
    steps.append(("The tables of this page as CSV and LaTeX:", f"imjax report {given} --tables=TABLES"))
    return steps


def _format_small_run(run: RunRecord, name: str) -> str:
    """The command of a run like a smoke run, but with training enough, in a folder beside it."""
    folder = next((word for word in run.record["command"] if word.startswith("--config.data.dir=")), "")
    # Scenes made on the spot have no `small`: the whole configuration is made for two cores.
    size = "" if run.config["data"].get("dataset") == "synthetic" else ":small"
    words = ["imjax", "train", f"--config={name}{size}", *([folder] if folder else [])]
    return shlex.join([*words, f"--workdir={run.workdir.with_name(run.workdir.name + '_small')}"])
