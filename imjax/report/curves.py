"""The figure of the study: one panel per dataset, generations on the x axis, one line per method."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from imjax.data.spec import DatasetSpec
from imjax.report import names
from imjax.report.canvas import STYLE, Chart, svg
from imjax.report.scores import Entry, Published


@dataclasses.dataclass(frozen=True)
class Look:
    """How a method is drawn, the same in every panel."""

    color: str
    marker: str
    dash: Any = "-"
    width: float = 1.8


# Methods whose colors are close have other markers and dashes, so that gray print tells them apart too.
LOOKS = {
    "fdt": Look("#000000", ">", "-", 1.2),
    "ldt": Look("#000000", "o", ":", 1.4),
    "aldt": Look("#000000", "^", "-.", 1.2),
    "model_ensemble": Look("#7F7F7F", "v", "--", 1.2),
    "input_ensemble": Look("#7F7F7F", "<", ":", 1.2),
    "consistency": Look("#882255", "d", (0, (6, 2, 1, 2, 1, 2)), 1.2),
    "noisy_student": Look("#CC79A7", "P", "--", 1.4),
    "evalnet": Look("#882255", "X", "--", 1.4),
    "im": Look("#56B4E9", "o"),
    "im_p": Look("#0072B2", "s"),
    "aim_p": Look("#E69F00", "^"),
    "im_pp": Look("#009E73", "D"),
    "aim_pp": Look("#D55E00", "p"),
    "gt_im_pp": Look("#000000", "*", ":", 1.4),
}
OTHERS = tuple(
    Look(color, marker, dash)
    for dash, markers in (("--", "h8dH"), ("-", "vs^o"), (":", "PXD*"))
    for color, marker in zip(("#332288", "#117733", "#AA4499", "#999933"), markers, strict=True)
)
"""For methods of other names, in the order in which they come."""
POINTS: dict[str, Any] = {"s": 18, "alpha": 0.35, "linewidths": 0}
"""Of the candidates."""
CAPTION = (
    "Test figure over the generations, mean over seeds (bars: standard deviation) of the candidate ranked "
    "first. Horizontal lines: methods without generations, their bars left of 0. Hollow: published. Faint "
    "points: every candidate, where they would hide no curve."
)
LEFT = -1
"""Where the deviations of methods without generations stand."""


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """How each of the methods of one dataset is drawn."""
    strange = [method for method in methods if method not in LOOKS]
    return LOOKS | {method: OTHERS[i % len(OTHERS)] for i, method in enumerate(strange)}


def over_generations(spec: DatasetSpec, found: Sequence[Entry], published: Published) -> Chart:
    """A panel: the headline figure of every method of one dataset.

    Args:
        spec: of the dataset.
        found: its entries.
        published: figures of the paper, drawn hollow.
    """
    methods = list(dict.fromkeys(entry.method for entry in found))
    drawn = looks(methods)
    curves = {m: [e for e in found if e.method == m and e.generation is not None] for m in methods}
    curves = {method: entries for method, entries in curves.items() if entries}
    levels = [entry for entry in found if entry.generation is None]
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(4.5, 3.5 + 0.17 * (len(methods) // 3)), layout="constrained")
        axes = canvas.subplots()
        # Of several methods the candidates would hide the lines.
        crowded = len(curves) > 1
        for entry, x in zip(levels, beside(len(levels), 0.12), strict=True):
            paper = published.get((spec.name, entry.method, None, spec.primary_metric))
            _level(axes, entry, spec.primary_metric, paper, drawn[entry.method], LEFT + x)
            if not crowded:
                _candidates(axes, [entry], spec.primary_metric, drawn[entry.method], LEFT + x)
        for (method, entries), x in zip(curves.items(), beside(len(curves), 0.05), strict=True):
            paper = _published_curve(spec, method, published)
            _curve(axes, entries, spec.primary_metric, paper, drawn[method], x)
            if not crowded:
                _candidates(axes, entries, spec.primary_metric, drawn[method], x)
        _dress(canvas, axes, spec, curves)
        text = f"Test {names.metric(spec.primary_metric)} over generations on {spec.title}"
        return Chart(svg(canvas), text, spec.title)


def beside(count: int, step: float) -> list[float]:
    """Shifts that keep the points of one method from hiding another's, however many there are."""
    step = min(step, 0.4 / max(count, 1))
    return [step * (i - (count - 1) / 2) for i in range(count)]


def _dress(canvas: Canvas, axes: Any, spec: DatasetSpec, curves: dict[str, list[Entry]]) -> None:
    """Axes and legend."""
    last = max((entry.generation for entries in curves.values() for entry in entries), default=0)
    axes.set_xticks([LEFT, *range(last + 1)], ["no gen.", *map(str, range(last + 1))])
    axes.set_xlim(LEFT - 0.35, last + 0.35)
    axes.set_xlabel("generation")
    axes.set_ylabel(f"test {names.metric(spec.primary_metric)}")
    handles, labels = axes.get_legend_handles_labels()
    if any(line.get_markerfacecolor() == "none" for line in axes.lines):
        hollow = {"marker": "o", "color": "#777777", "markerfacecolor": "none", "linestyle": ""}
        handles.append(Line2D([], [], **hollow))
        labels.append("hollow: published")
    canvas.legend(handles, labels, loc="outside upper left", ncols=3, columnspacing=1.2, handlelength=2.6)


def _published_curve(spec: DatasetSpec, method: str, published: Published) -> dict[int, float]:
    return {
        generation: value
        for (dataset, name, generation, metric), value in published.items()
        if (dataset, name, metric) == (spec.name, method, spec.primary_metric) and generation is not None
    }


def _level(axes: Any, entry: Entry, metric: str, paper: float | None, look: Look, x: float) -> None:
    best = entry.best(metric)
    if best:
        title = _label([entry])
        axes.axhline(best.mean, color=look.color, linestyle=look.dash, linewidth=look.width, label=title)
        if best.sd is not None:
            axes.errorbar([x], [best.mean], [best.sd], color=look.color, capsize=3, elinewidth=1.2)
    if paper is not None:
        axes.plot([x], [paper], **_hollow(look))


def _curve(
    axes: Any, entries: Sequence[Entry], metric: str, paper: dict[int, float], look: Look, shift: float
) -> None:
    known = [(entry.generation + shift, best) for entry in entries if (best := entry.best(metric))]
    x, y = [x for x, _ in known], [best.mean for _, best in known]
    style = {"color": look.color, "marker": look.marker, "linestyle": look.dash, "linewidth": look.width}
    axes.plot(x, y, label=_label(entries), **style)
    if any(best.sd is not None for _, best in known):
        bars = [best.sd or 0 for _, best in known]
        axes.errorbar(x, y, bars, color=look.color, fmt="none", capsize=2, elinewidth=1)
    # Only the generations there are: a run of two need not show the paper's five.
    shown = [entry.generation for entry in entries if entry.generation in paper]
    if shown:
        axes.plot([g + shift for g in shown], [paper[g] for g in shown], **_hollow(look))


def _label(entries: Sequence[Entry]) -> str:
    """A method in the legend; a figure travels without its page, and so must the flag."""
    flag = " (TEST)" if any(entry.on_test for entry in entries) else ""
    return names.method(entries[0].method) + flag


def _hollow(look: Look) -> dict[str, Any]:
    return {
        "color": look.color,
        "marker": look.marker,
        "markerfacecolor": "none",
        "markeredgewidth": 1,
        "linestyle": "",
    }


def _candidates(axes: Any, entries: Sequence[Entry], metric: str, look: Look, shift: float) -> None:
    for entry in entries:
        x, values = (entry.generation or 0) + shift, entry.candidates(metric)
        axes.scatter([x] * len(values), values, color=look.color, marker=look.marker, **POINTS)
