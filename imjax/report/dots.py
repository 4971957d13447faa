"""Methods without generations side by side: one row each, for datasets where no method has any."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure as Canvas

from imjax.data.spec import DatasetSpec
from imjax.report import names
from imjax.report.canvas import BLUE, STYLE, Chart, svg
from imjax.report.scores import Entry, Published

CAPTION = (
    "Test figure of every method, mean over seeds (bars: standard deviation) of the candidate ranked first. "
    "Faint points: every candidate. Hollow: published."
)


def by_method(spec: DatasetSpec, found: Sequence[Entry], published: Published) -> Chart:
    """The headline test figure of every method, with every candidate, and the published value hollow.

    Args:
        spec: of the dataset.
        found: its entries, none with generations.
        published: figures of the papers.
    """
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=(4.5, 1.1 + 0.32 * len(found)), layout="constrained")
        axes = canvas.subplots()
        for row, entry in enumerate(found):
            candidates = entry.candidates(spec.primary_metric)
            axes.scatter(candidates, [row] * len(candidates), color=BLUE, s=18, alpha=0.35, linewidths=0)
            best = entry.best(spec.primary_metric)
            if best:
                axes.errorbar(
                    [best.mean], [row], xerr=[best.sd or 0], color=BLUE, fmt="o", markersize=6, capsize=3
                )
            paper = published.get((spec.name, entry.method, None, spec.primary_metric))
            if paper is not None:
                axes.plot([paper], [row], "o", color="#777777", markerfacecolor="none", markersize=7)
        axes.set_yticks(range(len(found)), [names.method(entry.method) for entry in found])
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.set_xlabel(f"test {names.metric(spec.primary_metric)}")
        axes.grid(axis="x", color="#dddddd", linewidth=0.8)
        text = f"Test {names.metric(spec.primary_metric)} of the methods on {spec.title}"
        return Chart(svg(canvas), text, spec.title)
