"""Wall time and throughput of the stages of one run, and of several methods."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from imjax.report import names
from imjax.report.aggregate import group_by_method
from imjax.report.load import RunRecord, StageRecord
from imjax.report.tables import NONE, Table, drop_empty_columns

THROUGHPUT_NOTE = (
    " Images/s: all nets that train in parallel together, with the validation between epochs and the "
    "compilation of the step."
)


def tabulate_stages(run: RunRecord) -> Table:
    """What each finished stage produced, how long it took and how fast it trained."""
    rows = []
    for stage in run.stages:
        pairs, steps = stage.metadata.get("pairs"), stage.metadata.get("steps")
        rows.append(
            (
                names.stage_title(stage.name),
                NONE if pairs is None else f"{pairs:,}",
                _format_stage_time(stage),
                NONE if steps is None else f"{steps:,}",
                _format_throughput([stage]),
                " ".join(map(str, stage.training.get("epoch", []))) or NONE,
            )
        )
    rows.append(("all stages", "", format_duration(_sum_seconds(run.stages)), "", "", ""))
    caption = (
        "Finished stages in their order: training pairs, wall time, optimizer steps of each net, and the "
        f"best epoch of each candidate.{_throughput_note([run])}"
    )
    head = ("stage", "pairs", "time", "steps", "images/s", "best epochs")
    return drop_empty_columns(Table(head, tuple(rows), caption))


def tabulate_methods(runs: Sequence[RunRecord]) -> Table | None:
    """Wall time of the runs of one dataset, one line per method; None where no stage is finished."""
    rows = [
        (
            names.method_title(method),
            str(len(group)),
            format_duration(statistics.fmean(_sum_seconds(run.stages) for run in group)),
            format_duration(statistics.fmean(_sum_seconds(s for s in r.stages if s.training) for r in group)),
            _format_throughput([stage for run in group for stage in run.stages]),
            " / ".join(dict.fromkeys(run.record.get("device") or "not recorded" for run in group)),
        )
        for method, group in group_by_method(run for run in runs if run.stages).items()
    ]
    if not rows:
        return None
    head = ("method", "runs", "wall time", "training time", "images/s", "device")
    caption = (
        "Mean over a method's runs of all their finished stages, including its baseline's; a stage reused "
        f"from another run counts with the time it took there.{_throughput_note(runs)}"
    )
    return drop_empty_columns(Table(head, tuple(rows), caption))


def _throughput_note(runs: Sequence[RunRecord]) -> str:
    measured = any(stage.metadata.get("images_per_second") for run in runs for stage in run.stages)
    return THROUGHPUT_NOTE if measured else ""


def _format_throughput(stages: Sequence[StageRecord]) -> str:
    """`530`, or `210–530` of several stages."""
    values = sorted(value for stage in stages if (value := stage.metadata.get("images_per_second")))
    if not values:
        return NONE
    extremes = [f"{value:,.0f}" if value >= 10 else f"{value:.1f}" for value in (values[0], values[-1])]
    return "–".join(dict.fromkeys(extremes))


def _format_stage_time(stage: StageRecord) -> str:
    seconds, resumed = stage.metadata.get("seconds"), stage.metadata.get("steps_before")
    # A resumed stage does not know how long its earlier processes took.
    since = f" since step {resumed:,}" if resumed else ""
    return format_duration(None if seconds is None else float(seconds)) + since


def _sum_seconds(stages: Iterable[StageRecord]) -> float:
    return float(sum(stage.metadata.get("seconds") or 0.0 for stage in stages))


def format_duration(seconds: float | None) -> str:
    """`13.6 s`, `4 min 10 s`, `2 h 05 min`."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, remainder = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {remainder:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
