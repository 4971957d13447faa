"""Figures of the page as self-contained SVG images, small enough to stay legible on a phone."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import RcKeyType

from imjax.data.spec import DatasetSpec
from imjax.report import names, pseudo_labels
from imjax.report.aggregate import DatasetResults, Entry, group_by_method, summarize_seeds
from imjax.report.load import RunRecord, ScalarRecord, StageRecord
from imjax.report.pseudo_labels import SPLITS, MaskSizes

# Of Okabe & Ito's palette, which stays distinct for color-blind readers.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"

STYLE: dict[RcKeyType, Any] = {
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
LEGEND: dict[str, Any] = {"loc": "outside upper left", "ncols": 3}
WIDE_LEGEND = LEGEND | {"columnspacing": 1.2, "handlelength": 2.6}
CANDIDATE_POINTS: dict[str, Any] = {"s": 18, "alpha": 0.35, "linewidths": 0}

TITLE_WIDTH = 34
"""Characters of a line of a method's name beside a row."""
NO_GENERATION_X = -1
"""Where the standard deviations of methods without generations are drawn."""


@dataclasses.dataclass(frozen=True)
class Chart:
    """An image with its text."""

    src: str
    alt: str
    title: str


@dataclasses.dataclass(frozen=True)
class LineStyle:
    """How a method is drawn, the same in every panel."""

    color: str
    marker: str
    dash: Any = "-"
    width: float = 1.8

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of `Axes.plot` for measured values."""
        return {"color": self.color, "marker": self.marker, "linestyle": self.dash, "linewidth": self.width}

    @property
    def hollow(self) -> dict[str, Any]:
        """Arguments of `Axes.plot` for published values."""
        hollow = {"markerfacecolor": "none", "markeredgewidth": 1, "linestyle": ""}
        return {"color": self.color, "marker": self.marker} | hollow


# Methods of similar colors have other markers and dashes, so that they stay distinct in gray print.
LINE_STYLES = {
    "fdt": LineStyle("#000000", ">", "-", 1.2),
    "ldt": LineStyle("#000000", "o", ":", 1.4),
    "aldt": LineStyle("#000000", "^", "-.", 1.2),
    "model_ensemble": LineStyle("#7F7F7F", "v", "--", 1.2),
    "input_ensemble": LineStyle("#7F7F7F", "<", ":", 1.2),
    "consistency": LineStyle("#882255", "d", (0, (6, 2, 1, 2, 1, 2)), 1.2),
    "noisy_student": LineStyle("#CC79A7", "P", "--", 1.4),
    "evalnet": LineStyle("#882255", "X", "--", 1.4),
    "im": LineStyle("#56B4E9", "o"),
    "im_p": LineStyle("#0072B2", "s"),
    "aim_p": LineStyle("#E69F00", "^"),
    "im_pp": LineStyle("#009E73", "D"),
    "aim_pp": LineStyle("#D55E00", "p"),
    "gt_im_pp": LineStyle("#000000", "*", ":", 1.4),
}
OTHER_STYLES = tuple(
    LineStyle(color, marker, dash)
    for dash, markers in (("--", "h8dH"), ("-", "vs^o"), (":", "PXD*"))
    for color, marker in zip(("#332288", "#117733", "#AA4499", "#999933"), markers, strict=True)
)
"""For methods of other names, in the order in which they come."""


def assign_line_styles(methods: Sequence[str]) -> dict[str, LineStyle]:
    """Method → style, for the methods of one dataset."""
    others = [method for method in methods if method not in LINE_STYLES]
    return LINE_STYLES | {method: OTHER_STYLES[i % len(OTHER_STYLES)] for i, method in enumerate(others)}


def dodge_offsets(count: int, step: float) -> list[float]:
    """Horizontal offsets that keep the points of `count` methods from hiding one another."""
    step = min(step, 0.4 / max(count, 1))
    return [step * (i - (count - 1) / 2) for i in range(count)]


def encode_svg(figure: Figure) -> str:
    """The figure as a data URI, the same bytes for the same figure."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    # Coordinates to a tenth of a point, and no line breaks: half the file. Text between tags stays as it is.
    text = re.sub(r"<[^<>]*>", lambda tag: _shorten_tag(tag[0]), buffer.getvalue())
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def _shorten_tag(tag: str) -> str:
    tag = re.sub(r"\d+\.\d\d+", lambda number: f"{float(number[0]):.1f}", tag)
    return re.sub(r"\s+", " ", tag)


def caption_generations(results: DatasetResults) -> str:
    """What stands below `plot_generations`, with a word on what is drawn only."""
    levels = [entry for entry in results.entries if entry.generation is None]
    curves = {entry.method for entry in results.entries if entry.generation is not None}
    parts = [f"Test metric over the generations{_describe_points(results)}"]
    if levels:
        bars = ", their bars left of 0" if any(entry.num_seeds > 1 for entry in levels) else ""
        parts.append(f"Horizontal lines: methods without generations{bars}.")
    # As in `plot_generations`.
    return " ".join([*parts, *_describe_marks(results, candidates=len(curves) <= 1)])


def caption_methods(results: DatasetResults) -> str:
    """What stands below `plot_methods`, with a word on what is drawn only."""
    text = f"Test metric of every method{_describe_points(results)}"
    return " ".join([text, *_describe_marks(results, candidates=True)])


def _describe_points(results: DatasetResults) -> str:
    several = any(entry.num_seeds > 1 for entry in results.entries)
    mean = "mean over seeds (bars: standard deviation) of " if several else ""
    return f", {mean}the candidate ranked first."


def _describe_marks(results: DatasetResults, candidates: bool) -> list[str]:
    several = any(len(entry.candidates(results.metric)) > 1 for entry in results.entries)
    hollow = any(results.published_value(e.method, e.generation) is not None for e in results.entries)
    parts = ["Faint points: every candidate."] if candidates and several else []
    return [*parts, "Hollow: published."] if hollow else parts


def plot_generations(results: DatasetResults) -> Chart:
    """Primary metric of every method, with generations on the x axis; published values are hollow."""
    entries = results.entries
    methods = list(dict.fromkeys(entry.method for entry in entries))
    styles = assign_line_styles(methods)
    curves = {m: [e for e in entries if e.method == m and e.generation is not None] for m in methods}
    curves = {method: group for method, group in curves.items() if group}
    levels = [entry for entry in entries if entry.generation is None]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.5, 3.5 + 0.17 * (len(methods) // 3)), layout="constrained")
        axes = figure.subplots()
        drawn = []
        for entry, offset in zip(levels, dodge_offsets(len(levels), 0.12), strict=True):
            _draw_level(axes, results, entry, styles[entry.method], NO_GENERATION_X + offset)
            drawn.append(([entry], NO_GENERATION_X + offset))
        for group, offset in zip(curves.values(), dodge_offsets(len(curves), 0.05), strict=True):
            _draw_curve(axes, results, group, styles[group[0].method], offset)
            drawn.append((group, offset))
        # Of several methods the candidates would hide the lines.
        if len(curves) <= 1:
            for group, x in drawn:
                _draw_candidates(axes, group, results.metric, styles[group[0].method], x)
        _finish_generations(figure, axes, results.metric_title, curves)
        title = results.spec.title
        return Chart(encode_svg(figure), f"Test {results.metric_title} over generations on {title}", title)


def _finish_generations(figure: Figure, axes: Any, metric: str, curves: dict[str, list[Entry]]) -> None:
    """Axes and legend."""
    last = max((entry.generation or 0 for group in curves.values() for entry in group), default=0)
    axes.set_xticks([NO_GENERATION_X, *range(last + 1)], ["no gen.", *map(str, range(last + 1))])
    axes.set_xlim(NO_GENERATION_X - 0.35, last + 0.35)
    axes.set_xlabel("generation")
    axes.set_ylabel(f"test {metric}")
    handles, labels = axes.get_legend_handles_labels()
    if any(line.get_markerfacecolor() == "none" for line in axes.lines):
        handles.append(Line2D([], [], marker="o", color="#777777", markerfacecolor="none", linestyle=""))
        labels.append("hollow: published")
    figure.legend(handles, labels, **WIDE_LEGEND)


def _draw_level(axes: Any, results: DatasetResults, entry: Entry, style: LineStyle, x: float) -> None:
    """A method without generations: a horizontal line."""
    if best := entry.best(results.metric):
        line = {"color": style.color, "linestyle": style.dash, "linewidth": style.width}
        axes.axhline(best.mean, label=_label_method([entry]), **line)
        if best.sd is not None:
            axes.errorbar([x], [best.mean], [best.sd], color=style.color, capsize=3, elinewidth=1.2)
    reference = results.published_value(entry.method, None)
    if reference is not None:
        axes.plot([x], [reference], **style.hollow)


def _draw_curve(
    axes: Any, results: DatasetResults, entries: Sequence[Entry], style: LineStyle, offset: float
) -> None:
    """A method with generations: a line through them."""
    positions = {e.generation + offset: e for e in entries if e.generation is not None}
    known = [(x, best) for x, entry in positions.items() if (best := entry.best(results.metric))]
    x, y = [x for x, _ in known], [best.mean for _, best in known]
    axes.plot(x, y, label=_label_method(entries), **style.line)
    if any(best.sd is not None for _, best in known):
        bars = [best.sd or 0 for _, best in known]
        axes.errorbar(x, y, bars, color=style.color, fmt="none", capsize=2, elinewidth=1)
    # Only the generations there are: a run of two need not show the paper's five.
    references = [(x, results.published_value(e.method, e.generation)) for x, e in positions.items()]
    published = {x: value for x, value in references if value is not None}
    if published:
        axes.plot(list(published), list(published.values()), **style.hollow)


def _label_method(entries: Sequence[Entry]) -> str:
    """A method in the legend; a figure may be shown without its page, and so needs the flag."""
    flag = " (TEST)" if any(entry.ranked_on_test for entry in entries) else ""
    return names.method_title(entries[0].method) + flag


def _draw_candidates(
    axes: Any, entries: Sequence[Entry], metric: str, style: LineStyle, offset: float
) -> None:
    for entry in entries:
        x, values = (entry.generation or 0) + offset, entry.candidates(metric)
        axes.scatter([x] * len(values), values, color=style.color, marker=style.marker, **CANDIDATE_POINTS)


def plot_methods(results: DatasetResults) -> Chart:
    """Primary metric of methods without generations, one row each; published values are hollow."""
    entries, metric = results.entries, results.metric
    # Names of variants have the keys in which they differ, and would leave no room for the points.
    titles = [textwrap.fill(names.method_title(entry.method), TITLE_WIDTH) for entry in entries]
    lines = sum(1 + title.count("\n") / 2 for title in titles)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.5, 1.1 + 0.32 * lines), layout="constrained")
        axes = figure.subplots()
        for row, entry in enumerate(entries):
            candidates = entry.candidates(metric)
            axes.scatter(candidates, [row] * len(candidates), color=BLUE, **CANDIDATE_POINTS)
            if best := entry.best(metric):
                bars = [best.sd or 0]
                axes.errorbar([best.mean], [row], xerr=bars, color=BLUE, fmt="o", markersize=6, capsize=3)
            reference = results.published_value(entry.method, None)
            if reference is not None:
                axes.plot([reference], [row], "o", color="#777777", markerfacecolor="none", markersize=7)
        axes.set_yticks(range(len(entries)), titles)
        axes.set_ylim(len(entries) - 0.5, -0.5)
        axes.set_xlabel(f"test {results.metric_title}")
        axes.grid(axis="x", color="#dddddd", linewidth=0.8)
        title = results.spec.title
        return Chart(encode_svg(figure), f"Test {results.metric_title} of the methods on {title}", title)


def plot_mask_sizes(title: str, sizes: Sequence[MaskSizes]) -> Chart:
    """Mean share of inconsistent pixels by the nets that made the masks, one line per split."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.0), layout="constrained")
        axes = figure.subplots()
        for split, color, marker in zip(SPLITS, (BLUE, VERMILLION, GREEN), "osD", strict=True):
            points = {i: 100 * share.mean for i, size in enumerate(sizes) if (share := size.shares[split])}
            axes.plot(list(points), list(points.values()), color=color, marker=marker, label=split)
        axes.set_xticks(range(len(sizes)), [size.title.replace("generation ", "gen. ") for size in sizes])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("nets")
        axes.set_ylabel("inconsistent pixels, %")
        figure.legend(**LEGEND)
        return Chart(encode_svg(figure), f"Inconsistent pixels of {title}, in percent of the image", title)


def plot_pseudo_labels(spec: DatasetSpec, runs: Sequence[RunRecord]) -> Chart | None:
    """Size of the masks, share of pairs kept and quality of the pseudo-labels, means over seeds.

    Args:
        spec: of the dataset.
        runs: of that dataset.

    Returns:
        A panel for each of the three that is known of any method; None where nothing was labeled.
    """
    methods = group_by_method(run for run in runs if run.labeled_generations)
    panels = {
        title: panel for title, panel in _pseudo_label_panels(spec, methods).items() if any(panel.values())
    }
    if not panels:
        return None
    styles = assign_line_styles(list(methods))
    with matplotlib.rc_context(STYLE):
        legend_rows = -(-len(methods) // 3)
        height = 0.4 + 0.17 * legend_rows + 1.5 * len(panels)
        figure = Figure(figsize=(4.5, height), layout="constrained")
        grid = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axes, (title, panel) in zip(grid, panels.items(), strict=True):
            for (method, line), offset in zip(panel.items(), dodge_offsets(len(panel), 0.04), strict=True):
                x = [generation + offset for generation in line]
                axes.plot(x, list(line.values()), label=names.method_title(method), **styles[method].line)
            # Above the largest value there is room for its marker.
            largest = max((y for line in panel.values() for y in line.values()), default=0)
            axes.set_ylim(0, 1.12 * largest or 1)
            axes.set_ylabel(title)
        grid[-1].set_xlabel("for generation")
        grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(*grid[0].get_legend_handles_labels(), **WIDE_LEGEND)
        figure.align_ylabels()
        return Chart(encode_svg(figure), f"{', '.join(panels)} over generations on {spec.title}", spec.title)


def _pseudo_label_panels(
    spec: DatasetSpec, methods: dict[str, list[RunRecord]]
) -> dict[str, dict[str, dict[int, float]]]:
    """Panel title → method → generation → mean over the runs that have a value."""

    def average(
        runs: Sequence[RunRecord], read: Callable[[RunRecord, int], float | None], scale: float
    ) -> dict:
        generations = sorted({generation for run in runs for generation in run.labeled_generations})
        values = {g: [v for run in runs if (v := read(run, g)) is not None] for g in generations}
        spreads = {g: summarize_seeds(scale * v for v in group) for g, group in values.items()}
        return {generation: spread.mean for generation, spread in spreads.items() if spread}

    def read_metric(name: str) -> Callable[[RunRecord, int], float | None]:
        return lambda run, generation: run.label_metric(generation, name)

    masks = {m: average(runs, pseudo_labels.inconsistent_share, 100.0) for m, runs in methods.items()}
    kept = {m: average(runs, read_metric("kept_share"), 100.0) for m, runs in methods.items()}
    quality = {
        m: average(runs, read_metric(f"pseudo_{spec.primary_metric}"), 1.0) for m, runs in methods.items()
    }
    return {
        # Most methods have no masks: a line at 0 would say nothing about them.
        "inconsistent, %": {m: line if any(line.values()) else {} for m, line in masks.items()},
        "pairs kept, %": kept,
        f"pseudo-label {names.metric_title(spec.primary_metric)}": quality,
    }


def plot_learning_curves(run: RunRecord) -> list[Chart]:
    """One chart per training stage that has begun: train loss and the selection metric on val per epoch."""
    finished = {stage.name: stage for stage in run.stages}
    begun: dict[str, list[ScalarRecord]] = {}
    for scalar in run.scalars:
        if scalar.member is not None and scalar.value is not None:
            begun.setdefault(scalar.stage, []).append(scalar)
    return [_plot_stage(run.spec, name, scalars, finished.get(name)) for name, scalars in begun.items()]


def _plot_stage(
    spec: DatasetSpec, name: str, scalars: Sequence[ScalarRecord], stage: StageRecord | None
) -> Chart:
    metric = (
        spec.selection_metric if any(scalar.name == spec.selection_metric for scalar in scalars) else "loss"
    )
    training = stage.training if stage else {}
    # A line is a group of nets that train jointly, but `ranked` counts single nets.
    best = [net // training.get("nets", 1) for net in training.get("ranked", [])[:1]]
    best_epochs = dict(enumerate(training.get("epoch", [])))
    with matplotlib.rc_context(STYLE):
        # Fixed margins: a computed layout takes several times as long, and a page has many of these.
        margins = {"left": 0.18, "right": 0.98, "top": 0.97, "bottom": 0.13, "hspace": 0.14}
        figure = Figure(figsize=(4.2, 3.6))
        upper, lower = figure.subplots(2, sharex=True, gridspec_kw=margins)
        figure.align_ylabels()
        _draw_members(upper, scalars, ("train", "loss"), VERMILLION, best, {})
        _draw_members(lower, scalars, ("val", metric), BLUE, best, best_epochs)
        upper.set_ylabel("train loss")
        lower.set_ylabel(f"val {names.metric_title(metric)}")
        lower.set_xlabel("epoch")
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        title = names.stage_title(name) + ("" if stage else " (not finished)")
        alt = f"{title}: train loss and val {names.metric_title(metric)} per epoch"
        return Chart(encode_svg(figure), alt, title)


def _steps_per_epoch(scalars: Sequence[ScalarRecord]) -> int:
    """Steps from one training loss to the next; val may be evaluated several times in between."""
    steps = sorted({scalar.step for scalar in scalars if (scalar.split, scalar.name) == ("train", "loss")})
    return steps[1] - steps[0] if len(steps) > 1 else max(scalar.step for scalar in scalars)


def _draw_members(
    axes: Any,
    scalars: Sequence[ScalarRecord],
    key: tuple[str, str],
    color: str,
    best: Sequence[int],
    best_epochs: dict[int, int],
) -> None:
    """One line per member over epochs, with a dot at its best epoch; `key` is (split, name)."""
    epoch_length = _steps_per_epoch(scalars)
    lines: dict[int, dict[float, float]] = {}
    for scalar in scalars:
        if (scalar.split, scalar.name) == key and scalar.member is not None and scalar.value is not None:
            lines.setdefault(scalar.member, {})[scalar.step / epoch_length] = scalar.value
    select = min if key[1] in names.DESCENDING else max
    for member, line in lines.items():
        is_best = member in best
        style = {"linewidth": 1.8, "alpha": 1, "zorder": 3} if is_best else {"linewidth": 0.8, "alpha": 0.55}
        marker = "o" if len(line) == 1 else None
        axes.plot(list(line), list(line.values()), marker=marker, color=color, **style)
        points = [(value, x) for x, value in line.items() if 0 <= best_epochs.get(member, 0) - x < 1]
        if points:
            value, x = select(points)
            axes.plot([x], [value], "o", markersize=4 if is_best else 3, color=color, zorder=4)
