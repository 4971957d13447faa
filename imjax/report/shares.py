"""Inconsistency masks and pseudo-labels over the generations: one line per method."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from imjax.data.spec import DatasetSpec
from imjax.report import curves, names, pseudo_labels, scores
from imjax.report.canvas import STYLE, Chart, svg
from imjax.report.load import Run

HEIGHT = 1.5
"""Of one panel, inches."""


def over_generations(spec: DatasetSpec, runs: Sequence[Run]) -> Chart | None:
    """Size of the masks, share of pairs kept and quality of the pseudo-labels, means over seeds.

    Args:
        spec: of the dataset.
        runs: of that dataset.

    Returns:
        A panel for each of the three that is known of any method; None where nothing was labeled.
    """
    methods: dict[str, list[Run]] = {}
    for run in runs:
        if run.labelings:
            methods.setdefault(run.method, []).append(run)
    quality = f"pseudo_{spec.primary_metric}"
    panels: dict[str, Callable[[Run, int], float | None]] = {
        "inconsistent, %": lambda run, generation: _percent(
            pseudo_labels.inconsistent_share(run, generation)
        ),
        "pairs kept, %": lambda run, generation: _percent(run.labeling(generation, "kept_share")),
        f"pseudo-label {names.metric(spec.primary_metric)}": lambda run, g: run.labeling(g, quality),
    }
    lines = {title: {m: _line(ours, value) for m, ours in methods.items()} for title, value in panels.items()}
    # Most methods cut nothing out: a line at 0 says nothing of them.
    masks = lines["inconsistent, %"]
    lines["inconsistent, %"] = {m: line if any(line.values()) else {} for m, line in masks.items()}
    lines = {title: found for title, found in lines.items() if any(found.values())}
    if not lines:
        return None
    looks = curves.looks(list(methods))
    rows = -(-len(methods) // 3)
    with matplotlib.rc_context(STYLE):
        size = (4.5, 0.4 + 0.17 * rows + HEIGHT * len(lines))
        canvas = Canvas(figsize=size, layout="constrained")
        grid = canvas.subplots(len(lines), sharex=True, squeeze=False)[:, 0]
        for axes, (title, found) in zip(grid, lines.items(), strict=True):
            for (method, line), shift in zip(found.items(), curves.beside(len(found), 0.04), strict=True):
                look, x = looks[method], [generation + shift for generation in line]
                label = names.method(method)
                axes.plot(x, list(line.values()), color=look.color, marker=look.marker, linestyle=look.dash,
                          linewidth=look.width, label=label)  # fmt: skip
            # Above the largest there is room for its marker.
            largest = max((y for line in found.values() for y in line.values()), default=0)
            axes.set_ylim(0, 1.12 * largest or 1)
            axes.set_ylabel(title)
        grid[-1].set_xlabel("for generation")
        grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        handles, labels = grid[0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside upper left", ncols=3, columnspacing=1.2, handlelength=2.6)
        canvas.align_ylabels()
        return Chart(svg(canvas), f"{', '.join(lines)} over generations on {spec.title}", spec.title)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _line(runs: Sequence[Run], value: Callable[[Run, int], float | None]) -> dict[int, float]:
    """Generation → mean over the runs that know it."""
    generations = sorted({generation for run in runs for generation in run.labelings})
    spreads = {g: scores.spread(value(run, g) for run in runs) for g in generations}
    return {generation: spread.mean for generation, spread in spreads.items() if spread}
