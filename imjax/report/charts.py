"""Charts as self-contained SVG images, small enough to stay legible on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from imjax.data.spec import DatasetSpec
from imjax.report import names
from imjax.report.canvas import BLUE, GREEN, STYLE, VERMILLION, Chart, svg
from imjax.report.load import Figure, Run, Stage
from imjax.report.pseudo_labels import SPLITS, Masks


def mask_sizes(title: str, found: Sequence[Masks]) -> Chart:
    """Mean share of inconsistent pixels by the nets that made the masks, one line per split."""
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(4.6, 3.0), layout="constrained")
        axes = canvas.subplots()
        for split, color, marker in zip(SPLITS, (BLUE, VERMILLION, GREEN), "osD", strict=True):
            points = [(i, masks.shares[split]) for i, masks in enumerate(found)]
            points = [(i, 100 * share.mean) for i, share in points if share]
            axes.plot([x for x, _ in points], [y for _, y in points], color=color, marker=marker, label=split)
        axes.set_xticks(range(len(found)), [masks.title.replace("generation ", "gen. ") for masks in found])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("nets")
        axes.set_ylabel("inconsistent pixels, %")
        canvas.legend(loc="outside upper left", ncols=3)
        return Chart(svg(canvas), f"Inconsistent pixels of {title}, in per cent of the image", title)


def learning(run: Run) -> list[Chart]:
    """One chart per training stage that has begun: training loss and the val figure per epoch."""
    stages = {stage.name: stage for stage in run.stages}
    begun: dict[str, list[Figure]] = {}
    for figure in run.figures:
        if figure.member is not None and figure.value is not None:
            begun.setdefault(figure.stage, []).append(figure)
    return [_learning(run.spec, stage, figures, stages.get(stage)) for stage, figures in begun.items()]


def _learning(spec: DatasetSpec, stage: str, figures: Sequence[Figure], done: Stage | None) -> Chart:
    monitored = any(figure.name == spec.selection_metric for figure in figures)
    monitor = spec.selection_metric if monitored else "loss"
    # Lines are systems, which joint training ranks by their nets.
    nets = done.fitted.get("nets", 1) if done else 1
    ranked = [net // nets for net in done.fitted.get("ranked", [])] if done else []
    kept = dict(enumerate(done.fitted.get("epoch", []))) if done else {}
    with matplotlib.rc_context(STYLE):
        # Fixed margins: a computed layout takes several times as long, and a page has many of these.
        margins = {"left": 0.18, "right": 0.98, "top": 0.97, "bottom": 0.13, "hspace": 0.14}
        upper, lower = (canvas := Canvas(figsize=(4.2, 3.6))).subplots(2, sharex=True, gridspec_kw=margins)
        canvas.align_ylabels()
        _members(upper, figures, ("train", "loss"), VERMILLION, ranked[:1], {})
        _members(lower, figures, ("val", monitor), BLUE, ranked[:1], kept)
        upper.set_ylabel("train loss")
        lower.set_ylabel(f"val {names.metric(monitor)}")
        lower.set_xlabel("epoch")
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        title = names.stage(stage) + ("" if done else " (not finished)")
        return Chart(svg(canvas), f"{title}: train loss and val {names.metric(monitor)} per epoch", title)


def _steps_per_epoch(figures: Sequence[Figure]) -> int:
    """Steps from one training loss to the next; val may be watched several times in between."""
    steps = sorted({figure.step for figure in figures if (figure.split, figure.name) == ("train", "loss")})
    return steps[1] - steps[0] if len(steps) > 1 else max(figure.step for figure in figures)


def _members(
    axes: Any,
    figures: Sequence[Figure],
    which: tuple[str, str],
    color: str,
    best: Sequence[int],
    kept: dict[int, int],
) -> None:
    """One line per member over epochs, with a dot where its kept epoch was measured."""
    length = _steps_per_epoch(figures)
    lines: dict[int | None, dict[float, float | None]] = {}
    for figure in figures:
        if (figure.split, figure.name) == which:
            lines.setdefault(figure.member, {})[figure.step / length] = figure.value
    choose = min if which[1] in names.DESCENDING else max
    for member, line in lines.items():
        chosen = member in best
        style: dict[str, Any] = {
            "linewidth": 1.8 if chosen else 0.8,
            "alpha": 1 if chosen else 0.55,
            "color": color,
        }
        marker = "o" if len(line) == 1 else None
        axes.plot(list(line), list(line.values()), marker=marker, zorder=3 if chosen else 2, **style)
        own = [
            (value, x) for x, value in line.items() if value is not None and 0 <= kept.get(member, 0) - x < 1
        ]
        if own:
            value, x = choose(own)
            axes.plot([x], [value], "o", markersize=4 if chosen else 3, color=color, zorder=4)
