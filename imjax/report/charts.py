"""Charts as self-contained SVG images, small enough to stay legible on a phone."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from imjax.data.spec import DatasetSpec
from imjax.report import names
from imjax.report.runs import Figure, Run, Stage
from imjax.report.scores import Entry, Published
from imjax.report.tables import Masks

# Okabe & Ito's colours without the yellow, which white paper swallows.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vPX"
GREYS = ("#000000", "#555555", "#999999")
"""Methods without generations."""

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "imjax",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}
POINTS: dict[str, Any] = {"s": 22, "alpha": 0.35, "linewidths": 0}
"""Of the candidates."""
BASELINE_X = -1
"""Where methods without generations stand."""


@dataclasses.dataclass(frozen=True)
class Chart:
    """An image with its text."""

    src: str
    alt: str
    title: str


def over_generations(spec: DatasetSpec, found: Sequence[Entry], published: Published) -> Chart:
    """The headline figure of every method: curves over generations, lines for methods without."""
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(5.2, 3.9), layout="constrained")
        axes = canvas.subplots()
        plain = list(dict.fromkeys(e.method for e in found if e.generation is None))
        generational = list(dict.fromkeys(e.method for e in found if e.generation is not None))
        for i, method in enumerate(plain):
            entry = next(e for e in found if e.method == method and e.generation is None)
            paper = published.get((spec.name, method, None, spec.headline))
            _level(axes, entry, spec.headline, paper, GREYS[i % len(GREYS)], MARKERS[i % len(MARKERS)])
        for i, method in enumerate(generational):
            curve = [e for e in found if e.method == method and e.generation is not None]
            paper = _published_curve(spec, method, published)
            # Side by side, or the points of one method hide another's.
            shift = 0.05 * (i - (len(generational) - 1) / 2)
            colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
            _curve(axes, curve, spec.headline, paper, colour, marker, shift)
        if any(line.get_linestyle() == "--" for line in axes.lines):
            axes.plot([], [], "--", color="#777777", linewidth=1.3, label="published")
        last = round(max([axes.get_xlim()[1], 0]))
        axes.set_xticks([BASELINE_X, *range(last + 1)], ["no gen.", *map(str, range(last + 1))])
        axes.set_xlim(BASELINE_X - 0.4, last + 0.4)
        axes.set_xlabel("generation")
        axes.set_ylabel(f"test {names.metric(spec.headline)}")
        canvas.legend(loc="outside upper left", ncols=4)
        text = f"Test {names.metric(spec.headline)} over generations on {spec.title}"
        return Chart(_svg(canvas), text, spec.title)


def _published_curve(spec: DatasetSpec, method: str, published: Published) -> dict[int, float]:
    return {
        generation: value
        for (dataset, name, generation, metric), value in published.items()
        if (dataset, name, metric) == (spec.name, method, spec.headline) and generation is not None
    }


def _level(axes: Any, entry: Entry, metric: str, paper: float | None, colour: str, marker: str) -> None:
    best = entry.best(metric)
    candidates = entry.candidates(metric)
    axes.scatter([BASELINE_X] * len(candidates), candidates, **POINTS, color=colour, marker=marker)
    if best:
        axes.axhline(best.mean, color=colour, linewidth=1.3, label=names.method(entry.method))
        if best.sd is not None:
            axes.errorbar([BASELINE_X], [best.mean], [best.sd], color=colour, capsize=3)
    if paper is not None:
        axes.axhline(paper, color=colour, linewidth=1.1, linestyle="--")


def _curve(
    axes: Any,
    curve: Sequence[Entry],
    metric: str,
    paper: dict[int, float],
    colour: str,
    marker: str,
    shift: float,
) -> None:
    points = [(entry.generation + shift, entry.best(metric)) for entry in curve]
    known = [(x, best) for x, best in points if best]
    x, y = [x for x, _ in known], [best.mean for _, best in known]
    axes.plot(x, y, color=colour, marker=marker, label=names.method(curve[0].method))
    if any(best.sd is not None for _, best in known):
        axes.errorbar(x, y, [best.sd or 0 for _, best in known], color=colour, fmt="none", capsize=3)
    for entry in curve:
        candidates = entry.candidates(metric)
        axes.scatter(
            [entry.generation + shift] * len(candidates), candidates, **POINTS, color=colour, marker=marker
        )
    generations = sorted(paper)
    if generations:
        x, y = [generation + shift for generation in generations], [paper[key] for key in generations]
        axes.plot(x, y, "--", color=colour, linewidth=1.3)


def mask_sizes(title: str, found: Sequence[Masks]) -> Chart:
    """Mean share of inconsistent pixels by the nets that made the masks, one line per split."""
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(4.6, 3.0), layout="constrained")
        axes = canvas.subplots()
        for split, colour, marker in zip(("unlabelled", "val", "test"), COLOURS, MARKERS, strict=False):
            points = [(i, masks.shares[split]) for i, masks in enumerate(found)]
            points = [(i, 100 * share.mean) for i, share in points if share]
            axes.plot(
                [x for x, _ in points], [y for _, y in points], color=colour, marker=marker, label=split
            )
        axes.set_xticks(range(len(found)), [masks.title.replace("generation ", "gen. ") for masks in found])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("nets")
        axes.set_ylabel("inconsistent pixels, %")
        canvas.legend(loc="outside upper left", ncols=3)
        return Chart(_svg(canvas), f"Inconsistent pixels of {title}, in per cent of the image", title)


def learning(run: Run) -> list[Chart]:
    """One chart per training stage that has begun: training loss and the val figure per epoch."""
    stages = {stage.name: stage for stage in run.stages}
    begun: dict[str, list[Figure]] = {}
    for figure in run.figures:
        if figure.member is not None and figure.value is not None:
            begun.setdefault(figure.stage, []).append(figure)
    return [_learning(run.spec, stage, figures, stages.get(stage)) for stage, figures in begun.items()]


def _learning(spec: DatasetSpec, stage: str, figures: Sequence[Figure], done: Stage | None) -> Chart:
    monitored = any(figure.name == spec.monitor for figure in figures)
    monitor = spec.monitor if monitored else "loss"
    ranked = done.fitted.get("ranked", []) if done else []
    kept = dict(enumerate(done.fitted.get("epoch", []))) if done else {}
    with matplotlib.rc_context(STYLE):
        # Fixed margins: a computed layout takes several times as long, and a page has many of these.
        margins = {"left": 0.18, "right": 0.98, "top": 0.97, "bottom": 0.13, "hspace": 0.14}
        upper, lower = (canvas := Canvas(figsize=(4.2, 3.6))).subplots(2, sharex=True, gridspec_kw=margins)
        canvas.align_ylabels()
        _members(upper, figures, ("train", "loss"), COLOURS[1], ranked[:1], {})
        _members(lower, figures, ("val", monitor), COLOURS[0], ranked[:1], kept)
        upper.set_ylabel("train loss")
        lower.set_ylabel(f"val {names.metric(monitor)}")
        lower.set_xlabel("epoch")
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        title = names.stage(stage) + ("" if done else " (not finished)")
        return Chart(_svg(canvas), f"{title}: train loss and val {names.metric(monitor)} per epoch", title)


def _members(
    axes: Any,
    figures: Sequence[Figure],
    which: tuple[str, str],
    colour: str,
    best: Sequence[int],
    kept: dict[int, int],
) -> None:
    lines: dict[int | None, list[float | None]] = {}
    for figure in figures:
        if (figure.split, figure.name) == which:
            lines.setdefault(figure.member, []).append(figure.value)
    for member, values in lines.items():
        chosen = member in best
        style: dict[str, Any] = {
            "linewidth": 1.8 if chosen else 0.8,
            "alpha": 1 if chosen else 0.55,
            "color": colour,
        }
        marker = "o" if len(values) == 1 else None
        axes.plot(range(1, len(values) + 1), values, marker=marker, zorder=3 if chosen else 2, **style)
        if 1 <= kept.get(member, 0) <= len(values):
            epoch = kept[member]
            axes.plot(
                [epoch], [values[epoch - 1]], "o", markersize=4 if chosen else 3, color=colour, zorder=4
            )


def _svg(canvas: Canvas) -> str:
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    # Coordinates to a tenth of a point, and no line breaks: half the file. Text between tags stays as it is.
    text = re.sub(r"<[^<>]*>", lambda tag: _shorter(tag[0]), buffer.getvalue())
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def _shorter(tag: str) -> str:
    tag = re.sub(r"\d+\.\d\d+", lambda number: f"{float(number[0]):.1f}", tag)
    return re.sub(r"\s+", " ", tag)
