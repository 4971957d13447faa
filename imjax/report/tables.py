"""Tables of results as text: values in, cells out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from imjax.report import names
from imjax.report.aggregate import DatasetResults, Entry, Spread, find_baselines

NONE = "–"
ON_TEST = " (ranked on TEST)"


@dataclasses.dataclass(frozen=True)
class Table:
    """The first cell of a row is its title; `best` are (row, column) cells to emphasize."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    best: frozenset[tuple[int, int]] = frozenset()
    colors: tuple[str, ...] = ()
    """CSS color of each row, if any."""
    breaks: frozenset[int] = frozenset()
    """Rows with which a new group begins."""
    text: bool = False
    """Whether cells are words and not numbers."""


def format_metric(value: Spread | float | None, digits: int = 4) -> str:
    """`0.5300`, or `0.530 ± 0.030 (3)` for several seeds: one digit less, and their number."""
    if value is None:
        return NONE
    if not isinstance(value, Spread):
        return f"{value:.{digits}f}"
    if value.sd is None:
        return f"{value.mean:.{digits}f}"
    return f"{value.mean:.{digits - 1}f} ± {value.sd:.{digits - 1}f} ({value.n})"


def format_mean(value: Spread | None) -> str:
    """`format_metric` for a sentence, without the number of seeds."""
    return format_metric(value).split(" (")[0]


def format_delta(value: Spread | float | None, digits: int = 3) -> str:
    """`+0.012` or `−0.012`, with a minus sign as wide as the plus; `+0.012 ± 0.004` for several seeds."""
    if value is None:
        return NONE
    if isinstance(value, Spread):
        return format_delta(value.mean, digits) + (
            f" ± {value.sd:.{digits}f}" if value.sd is not None else ""
        )
    # Zero has no sign: −0.0002 would read −0.000.
    return f"{value:+.{digits}f}".replace("-", "−") if round(value, digits) else f"{0:.{digits}f}"


def find_published_metric(results: DatasetResults) -> str | None:
    """The metric for which there are published values of these entries, the primary one first."""
    for metric in results.metrics:
        if any(results.published_value(e.method, e.generation, metric) is not None for e in results.entries):
            return metric
    return None


def tabulate_results(results: DatasetResults) -> Table:
    """Test metrics, one line per method and generation."""
    entries, metrics, published_metric = results.entries, results.metrics, find_published_metric(results)
    head = [names.metric_title(metric) for metric in metrics]
    head.insert(1, f"{results.metric_title}, mean of best {results.report_top_k}")
    if published_metric:
        head[2:2] = [f"published {names.metric_title(published_metric)}", "measured − published"]
    has_ensembles = any(entry.ensemble is not None for entry in entries)
    if has_ensembles:
        head.insert(1, f"{results.metric_title}, ensemble")
    extents = {(e.method, e.generation): results.training_extents(e) for e in entries}
    if any(extents.values()):
        head += ["steps", "images seen"]
    rows = []
    for entry in entries:
        cells = [format_metric(entry.best(metric)) for metric in metrics]
        cells.insert(1, _format_top_mean(results, entry))
        if published_metric:
            reference = results.published_value(entry.method, entry.generation, published_metric)
            delta = _format_difference(entry.best(published_metric), reference)
            cells[2:2] = [format_metric(reference, 3), delta]
        if has_ensembles:
            cells.insert(1, format_metric(entry.together(results.metric)))
        if any(extents.values()):
            cells += _format_extents(extents[entry.method, entry.generation])
        title = names.entry_title(entry.method, entry.generation)
        rows.append((title + ON_TEST if entry.ranked_on_test else title, *cells))
    caption = (
        f"Test split. Each value is that of the candidate that is {_describe_ranking(entries)}; next to the "
        f"{results.metric_title} is its mean over the best candidates, "
        f"{results.report_top_k.replace('/', ' or ')} of each row. "
        f"{_describe_direction(metrics)}{_describe_seeds(entries)}"
    )
    if has_ensembles:
        caption += " Ensemble: mean probability of the best candidates, at most four, as by imjax predict."
    caption += _describe_metric_rules(results) + _describe_crop_rule(results)
    if published_metric:
        caption += " Published values are from the papers; those of the IM paper are means of 3 runs."
    if any(extents.values()):
        caption += " Steps and images seen: optimizer steps of each net and the images in their batches."
    best = {(row, 1) for m in metrics[:1] for row in _find_best([entry.best(m) for entry in entries], m)}
    return Table(("method", *head), tuple(rows), caption, frozenset(best), breaks=_find_breaks(entries))


def _format_top_mean(results: DatasetResults, entry: Entry) -> str:
    """The mean over the best candidates, with their number where not all entries have as many."""
    text = format_metric(entry.top_mean(results.metric))
    return text if "/" not in results.report_top_k or text == NONE else f"{text} of {entry.top_count}"


def _format_extents(extents: Sequence[tuple[int, int]]) -> list[str]:
    """Cells of the steps and of the images seen: a number, or the least and the greatest."""
    if not extents:
        return [NONE, NONE]
    cells = []
    for numbers in zip(*extents, strict=True):
        least, greatest = (f"{number:,}".replace(",", " ") for number in (min(numbers), max(numbers)))
        cells.append(least if least == greatest else f"{least} to {greatest}")
    return cells


def _describe_ranking(entries: Sequence[Entry]) -> str:
    if all(entry.ranked_on_test for entry in entries):
        return "best on TEST, which is for replication only"
    return "best on val" + (" (on TEST where stated)" if any(e.ranked_on_test for e in entries) else "")


def _describe_metric_rules(results: DatasetResults) -> str:
    """What the figures per image have for images without an object, and which have a smoothing term."""
    if results.spec.kind == "multiclass" or not {"iou", "miou"} & set(results.metrics):
        return ""
    rules = {
        0: "0, as in the Inconsistency Masks paper",
        1: "1 (the Inconsistency Masks paper counts 0)",
    }
    used = sorted({run.spec.empty_iou for run in results.runs})
    described = " or, in other runs, ".join(rules[rule] for rule in used)
    text = f" IoU and Dice of an image without object in ground truth and prediction are {described}."
    if results.spec.kind == "binary":
        text += " They have no smoothing term"
        text += ", but that of the paper has one of 1." if "dice_smooth" in results.metrics else "."
    return text


def _describe_crop_rule(results: DatasetResults) -> str:
    """Whether images or crops are labeled, where images are cut into a grid of overlapping ones."""
    data = [run.config["data"] for run in results.runs if run.config["data"].get("tile_overlap")]
    rules = {True: "crops, so that overlapping crops lie on both sides, as published", False: "images"}
    used = sorted({bool(values.get("by_crop")) for values in data})
    described = " or, in other runs, of the ".join(rules[rule] for rule in used)
    return f" The labeled share is that of the {described}." if used else ""


def _describe_seeds(entries: Sequence[Entry]) -> str:
    several = any(entry.num_seeds > 1 for entry in entries)
    return " Mean ± standard deviation over seeds (number of seeds)." if several else ""


def _find_breaks(entries: Sequence[Entry]) -> frozenset[int]:
    """Rows where a method with generations begins, or ends."""
    groups = [entry.method if entry.generation is not None else None for entry in entries]
    return frozenset(i for i in range(1, len(groups)) if groups[i] != groups[i - 1])


def tabulate_gaps(results: DatasetResults) -> Table | None:
    """Gain of every method over its baseline; None if no method has one."""
    methods = dict.fromkeys(entry.method for entry in results.entries)
    generations = sorted({entry.generation for entry in results.entries if entry.generation is not None})
    rows = []
    for method, baseline in [(m, b) for m in methods for b in find_baselines(results.runs, m)]:
        gaps = {generation: results.gap(method, generation, baseline) for generation in (None, *generations)}
        if known := [(generation, gap) for generation, gap in gaps.items() if gap]:
            last, last_gap = known[-1]
            upper, lower = results.published_value(method, last), results.published_value(baseline, None)
            reference = None if upper is None or lower is None else upper - lower
            title = f"{names.method_title(baseline)} → {names.entry_title(method, last)}"
            title += ON_TEST if any(e.ranked_on_test for e in results.entries if e.method == method) else ""
            delta = _format_difference(last_gap, reference)
            cells = [format_delta(last_gap), format_delta(reference), delta, str(last_gap.n)]
            rows.append((title, *cells, *(format_delta(gaps[generation]) for generation in generations)))
    if not rows:
        return None
    head = ["baseline → method", "gap", "published gap", "measured − published", "seeds"]
    head += [f"gap, gen. {generation}" for generation in generations]
    labels = " (of ALDT and FDT: LDT)" if generations else ""
    order = ": first after the last generation there is, on the right after each" if generations else ""
    spread = " (mean ± their standard deviation)" if _describe_seeds(results.entries) else ""
    caption = (
        f"Test {results.metric_title} of each method minus that of its baseline{labels}{order}. "
        f"Differences are taken seed by seed{spread}. {_describe_direction([results.metric])}"
    )
    # Without published values two columns would be empty.
    return drop_empty_columns(Table(tuple(head), tuple(rows), caption))


def _format_difference(value: Spread | None, reference: float | None) -> str:
    return NONE if value is None or reference is None else format_delta(value.mean - reference)


def _describe_direction(metrics: Sequence[str]) -> str:
    descending = [names.metric_title(metric) for metric in metrics if metric in names.DESCENDING]
    if len(descending) == len(metrics):
        return "Lower is better."
    return "Higher is better" + (f", but lower is for {', '.join(descending)}." if descending else ".")


def _find_best(values: Sequence[Spread | None], metric: str) -> list[int]:
    """Positions of the best value; none where all are equal."""
    means = {value.mean for value in values if value}
    if len(means) < 2:
        return []
    best = min(means) if metric in names.DESCENDING else max(means)
    return [i for i, value in enumerate(values) if value and value.mean == best]


def tabulate_classes(results: DatasetResults) -> Table | None:
    """IoU of each class over all test images together; None where there are no values per class."""
    spec, entries = results.spec, results.entries
    rows: list[tuple[str, ...]] = []
    colors, best = [], set()
    if len({entry.method for entry in entries if entry.generation is not None}) > 1:
        # Every generation of several methods would make dozens of columns.
        entries = tuple({entry.method: entry for entry in entries}.values())
    for name, rgb in zip(spec.classes, spec.palette, strict=True):
        values = [entry.best("iou_dataset", name) for entry in entries]
        if any(values):
            best |= {(len(rows), i + 1) for i in _find_best(values, "iou_dataset")}
            rows.append((name, *(format_metric(value and value.mean, 3) for value in values)))
            colors.append(format_color(rgb))
    if not rows:
        return None
    caption = (
        "IoU of each class over all test images together, of the candidate that is "
        + _describe_ranking(entries)
        + (", mean over seeds" if _describe_seeds(entries) else "")
        + ". The best of a row is bold; – marks a class in neither ground truth nor prediction."
    )
    head = ("class", *(names.entry_title(entry.method, entry.generation) for entry in entries))
    return Table(head, tuple(rows), caption, frozenset(best), tuple(colors))


def format_color(rgb: Sequence[int]) -> str:
    """RGB → a CSS color."""
    return "#" + "".join(f"{value:02x}" for value in rgb)


def drop_empty_columns(table: Table) -> Table:
    """The table without columns that are empty in every row."""
    columns = [i for i in range(len(table.head)) if any(row[i] not in (NONE, "") for row in table.rows)]
    rows = tuple(tuple(row[i] for i in columns) for row in table.rows)
    return dataclasses.replace(table, head=tuple(table.head[i] for i in columns), rows=rows)
