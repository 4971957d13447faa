"""Wall time and throughput: of the stages of one run, and of methods beside each other."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from imjax.report import names
from imjax.report.load import Run, Stage
from imjax.report.tables import NONE, Table, shown

SPEED = (
    "Images/s: what all nets that train side by side take in together, with the validation between epochs "
    "and the compilation of the step."
)


def stages(run: Run) -> Table:
    """What each finished stage made, how long it took and how fast it trained."""
    rows = []
    for stage in run.stages:
        pairs, steps = stage.facts.get("pairs"), stage.facts.get("steps")
        rows.append(
            (
                names.stage(stage.name),
                NONE if pairs is None else f"{pairs:,}",
                _time(stage),
                NONE if steps is None else f"{steps:,}",
                _speeds([stage]),
                " ".join(map(str, stage.fitted.get("epoch", []))) or NONE,
            )
        )
    rows.append(("all stages", "", duration(_sum(run.stages)), "", "", ""))
    caption = (
        "Finished stages in their order: training pairs, wall time, optimizer steps of each net, and the "
        f"epoch kept of each candidate. {SPEED if any(map(_speed, run.stages)) else ''}"
    )
    return shown(Table(("stage", "pairs", "time", "steps", "images/s", "epochs kept"), tuple(rows), caption))


def methods(runs: Sequence[Run]) -> Table | None:
    """Wall time of the runs of one dataset, one line per method; None where no stage is finished."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.stages:
            groups.setdefault(run.method, []).append(run)
    if not groups:
        return None
    rows = [
        (
            names.method(method),
            str(len(ours)),
            duration(statistics.fmean(_sum(run.stages) for run in ours)),
            duration(statistics.fmean(_sum(stage for stage in run.stages if stage.fitted) for run in ours)),
            _speeds([stage for run in ours for stage in run.stages]),
            " / ".join(dict.fromkeys(run.record.get("device") or "not recorded" for run in ours)),
        )
        for method, ours in groups.items()
    ]
    head = ("method", "runs", "wall time", "of it training", "images/s", "device")
    caption = (
        "Mean over a method's runs of all their finished stages, its start's among them; a stage that was "
        "taken over from another run counts with the time it took there."
    )
    fast = any(_speed(stage) for run in runs for stage in run.stages)
    return shown(Table(head, tuple(rows), f"{caption} {SPEED if fast else ''}"))


def _speed(stage: Stage) -> float | None:
    return stage.facts.get("images_per_second")


def _speeds(found: Sequence[Stage]) -> str:
    """`530`, or `210–530` of several stages."""
    values = sorted(speed for stage in found if (speed := _speed(stage)))
    if not values:
        return NONE
    ends = list(dict.fromkeys(f"{value:,.0f}" if value >= 10 else f"{value:.1f}" for value in values))
    return "–".join(dict.fromkeys((ends[0], ends[-1])))


def _time(stage: Stage) -> str:
    before = stage.facts.get("steps_before")
    seconds = stage.facts.get("seconds")
    # What the process before took is not known.
    since = f" since step {before:,}" if before else ""
    return duration(None if seconds is None else float(seconds)) + since


def _sum(found: Iterable[Stage]) -> float:
    return float(sum(stage.facts.get("seconds") or 0.0 for stage in found))


def duration(seconds: float | None) -> str:
    """`13.6 s`, `4 min 10 s`, `2 h 05 min`."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
