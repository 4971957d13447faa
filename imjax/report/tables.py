"""Tables of the page as text. Pure: values in, cells out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from imjax.data.spec import DatasetSpec
from imjax.report import names, scores
from imjax.report.load import Run
from imjax.report.scores import Entry, Published, Spread

NONE = "–"


@dataclasses.dataclass(frozen=True)
class Table:
    """The first cell of a row is its title; `best` are (row, column) cells to emphasise."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    best: frozenset[tuple[int, int]] = frozenset()
    colors: tuple[str, ...] = ()
    """CSS color of each row, if any."""
    breaks: frozenset[int] = frozenset()
    """Rows with which something new begins."""
    text: bool = False
    """Whether cells are words rather than figures."""


def figure(value: Spread | float | None, digits: int = 4) -> str:
    """`0.5300`, or `0.530 ± 0.030 (3)` for several seeds: one digit less, and their number."""
    if value is None:
        return NONE
    if not isinstance(value, Spread):
        return f"{value:.{digits}f}"
    if value.sd is None:
        return f"{value.mean:.{digits}f}"
    return f"{value.mean:.{digits - 1}f} ± {value.sd:.{digits - 1}f} ({value.n})"


def brief(value: Spread | None) -> str:
    """`figure` for a sentence, without the number of seeds."""
    return figure(value).split(" (")[0]


def signed(value: Spread | float | None, digits: int = 3) -> str:
    """`+0.012` or `−0.012`, with a minus sign as wide as the plus; `+0.012 ± 0.004` for several seeds."""
    if value is None:
        return NONE
    if isinstance(value, Spread):
        return signed(value.mean, digits) + (f" ± {value.sd:.{digits}f}" if value.sd is not None else "")
    # No sign of nothing: −0.0002 would read −0.000.
    return f"{value:+.{digits}f}".replace("-", "−") if round(value, digits) else f"{0:.{digits}f}"


def published_metric(spec: DatasetSpec, found: Sequence[Entry], published: Published) -> str | None:
    """The metric for which there are published values of these entries, the headline first."""
    for metric in scores.metrics(found, spec.primary_metric):
        if any((spec.name, e.method, e.generation, metric) in published for e in found):
            return metric
    return None


def results(spec: DatasetSpec, found: Sequence[Entry], published: Published, top: str) -> Table:
    """Test figures, one line per method and generation.

    Args:
        spec: of the dataset.
        found: its entries.
        published: figures of the paper.
        top: how many candidates the mean column takes, as text.
    """
    metrics = scores.metrics(found, spec.primary_metric)
    paper = published_metric(spec, found, published)
    head = [names.metric(metric) for metric in metrics]
    head.insert(1, f"{names.metric(spec.primary_metric)}, mean of best {top}")
    if paper:
        head[2:2] = [f"published {names.metric(paper)}", "ours − published"]
    rows = []
    for entry in found:
        cells = [figure(entry.best(metric)) for metric in metrics]
        cells.insert(1, figure(entry.top(spec.primary_metric)))
        if paper:
            theirs = published.get((spec.name, entry.method, entry.generation, paper))
            cells[2:2] = [figure(theirs, 3), _above(entry.best(paper), theirs)]
        title = names.entry(entry.method, entry.generation)
        rows.append((f"{title} (ranked on TEST)" if entry.on_test else title, *cells))
    caption = (
        f"Test split. Each figure is that of the candidate that is {_ranking(found)}; beside the "
        f"{names.metric(spec.primary_metric)} is its mean over the best {top} candidates. "
        f"{_better(metrics)}{_several(found)}"
    ) + (" Published values are the papers’; those of the study are means of 3 runs." if paper else "")
    best = _best([[entry.best(metric) for entry in found] for metric in metrics[:1]], metrics[:1], offset=1)
    return Table(("method", *head), tuple(rows), caption, best, breaks=_breaks(found))


def _ranking(found: Sequence[Entry]) -> str:
    if all(entry.on_test for entry in found):
        return "best on TEST, which is for replication only"
    return "best on val" + (" (on TEST where it says so)" if any(entry.on_test for entry in found) else "")


def _several(found: Sequence[Entry]) -> str:
    several = any(len(entry.seeds) > 1 for entry in found)
    return " Mean ± standard deviation over seeds (number of seeds)." if several else ""


def _breaks(found: Sequence[Entry]) -> frozenset[int]:
    """Where a method with generations begins, or ends."""
    blocks = [entry.method if entry.generation is not None else None for entry in found]
    return frozenset(i for i in range(1, len(blocks)) if blocks[i] != blocks[i - 1])


def gaps(
    spec: DatasetSpec, found: Sequence[Entry], runs: Sequence[Run], published: Published
) -> Table | None:
    """What every method adds to the start that it grew from; None if there is no such method.

    Args:
        spec: of the dataset.
        found: entries of `runs`.
        runs: of the dataset.
        published: figures of the paper.
    """
    generations = sorted({entry.generation for entry in found if entry.generation is not None})
    rows = []
    for method in dict.fromkeys(entry.method for entry in found):
        for start in scores.origins(runs, method):
            ours = {g: scores.gap(runs, method, g, start, spec.primary_metric) for g in (None, *generations)}
            if any(ours.values()):
                last = [generation for generation, gap in ours.items() if gap][-1]
                theirs = _published_gap(spec, method, last, start, published)
                title = f"{names.method(start)} → {names.entry(method, last)}"
                title += " (ranked on TEST)" if any(e.on_test for e in found if e.method == method) else ""
                cells = [signed(ours[last]), signed(theirs), _above(ours[last], theirs), str(ours[last].n)]
                rows.append((title, *cells, *(signed(ours[generation]) for generation in generations)))
    if not rows:
        return None
    head = ["from → to", "gap", "published gap", "ours − published", "seeds"]
    head += [f"gap, gen. {generation}" for generation in generations]
    # Without published figures two columns would be empty.
    return shown(Table(tuple(head), tuple(rows), _gaps_caption(spec, found, bool(generations))))


def _gaps_caption(spec: DatasetSpec, found: Sequence[Entry], grown: bool) -> str:
    labels = ", and what more or augmented labels add to LDT" if grown else ""
    after = ": first after the last generation there is, on the right after each" if grown else ""
    spread = " (mean ± their standard deviation)" if _several(found) else ""
    return (
        f"Test {names.metric(spec.primary_metric)} of each method less that of the start it grew from"
        f"{labels}{after}. Differences are taken seed by seed{spread}. {_better([spec.primary_metric])}"
    )


def _published_gap(
    spec: DatasetSpec, method: str, generation: int | None, start: str, published: Published
) -> float | None:
    upper = published.get((spec.name, method, generation, spec.primary_metric))
    lower = published.get((spec.name, start, None, spec.primary_metric))
    return None if upper is None or lower is None else upper - lower


def _above(ours: Spread | None, theirs: float | None) -> str:
    return NONE if ours is None or theirs is None else signed(ours.mean - theirs)


def _better(metrics: Sequence[str]) -> str:
    less = [names.metric(metric) for metric in metrics if metric in names.DESCENDING]
    if len(less) == len(metrics):
        return "Less is better."
    return "Higher is better" + (f", but less is for {', '.join(less)}." if less else ".")


def _best(
    columns: Sequence[Sequence[Spread | None]], metrics: Sequence[str], offset: int
) -> frozenset[tuple[int, int]]:
    """(row, column) of the best value of each column that has at least two different ones."""
    cells = set()
    for number, (column, metric) in enumerate(zip(columns, metrics, strict=True)):
        known = [(value.mean, row) for row, value in enumerate(column) if value]
        # Where all are equal none is best.
        if len({mean for mean, _ in known}) > 1:
            choose = min if metric in names.DESCENDING else max
            target = choose(known)[0]
            cells |= {(row, number + offset) for mean, row in known if mean == target}
    return frozenset(cells)


def classes(spec: DatasetSpec, found: Sequence[Entry]) -> Table | None:
    """IoU of each class over all test images together; None where there are no figures per class."""
    rows, colors, best = [], [], set()
    if len({entry.method for entry in found if entry.generation is not None}) > 1:
        # Every generation of several methods would make dozens of columns.
        found = list({entry.method: entry for entry in found}.values())
    for name, rgb in zip(spec.classes, spec.palette, strict=True):
        values = [entry.best("iou_dataset", name) for entry in found]
        if not any(values):
            continue
        known = [value.mean for value in values if value]
        if len(set(known)) > 1:
            best |= {
                (len(rows), i) for i, value in enumerate(values, 1) if value and value.mean == max(known)
            }
        rows.append((name, *(figure(Spread(v.mean, None, v.n) if v else None, 3) for v in values)))
        colors.append(css(rgb))
    if not rows:
        return None
    caption = (
        f"IoU of each class over all test images together, of the candidate that is {_ranking(found)}"
        + (", mean over seeds" if _several(found) else "")
        + ". The best of a row is bold; – marks a class in neither truth nor prediction."
    )
    head = ("class", *(names.entry(entry.method, entry.generation) for entry in found))
    return Table(head, tuple(rows), caption, frozenset(best), tuple(colors))


def css(rgb: Sequence[int]) -> str:
    """RGB → a CSS color."""
    return "#" + "".join(f"{value:02x}" for value in rgb)


def shown(table: Table) -> Table:
    """The table without columns in which nothing is known."""
    kept = [i for i in range(len(table.head)) if any(row[i] not in (NONE, "") for row in table.rows)]
    rows = tuple(tuple(row[i] for i in kept) for row in table.rows)
    return dataclasses.replace(table, head=tuple(table.head[i] for i in kept), rows=rows)
