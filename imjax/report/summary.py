"""The results in a few sentences."""

from __future__ import annotations

from collections.abc import Sequence

from imjax.report import names
from imjax.report.aggregate import DatasetResults, Entry, find_baselines
from imjax.report.tables import format_delta, format_mean, format_metric

FEW = 2
"""Up to this many methods each get a sentence."""
ALL_LABELS = "fdt"
BOUNDS = names.ORACLES | {ALL_LABELS}
"""Methods that see more labels than there are: never named the best method."""


def write_sentences(results: DatasetResults) -> list[str]:
    """The primary metric of every method in words; of more than `FEW` methods, that of the best."""
    metric = results.metric
    last = {entry.method: entry for entry in results.entries if entry.best(metric)}
    if not last:
        return [f"No test {results.metric_title} yet."]
    plain = [entry for entry in last.values() if entry.generation is None]
    generational = [entry for entry in last.values() if entry.generation is not None]
    fair = [e for e in last.values() if not e.ranked_on_test and names.base_name(e.method) not in BOUNDS]
    # The ensemble of a method's nets is no method of its own.
    methods = {names.method_title(entry.method).removesuffix(", ensemble") for entry in fair}
    if len(methods) <= FEW or 0 < len(generational) <= FEW:
        if not generational:
            return [f"{_describe_entry(results, entry)}." for entry in plain]
        return [_compare_entry(results, entry, plain) for entry in generational]
    select = min if metric in names.DESCENDING else max
    means = [(spread.mean, entry) for entry in fair if (spread := entry.best(metric))]
    _, best = select(means, key=lambda pair: pair[0])
    references = {ALL_LABELS, *find_baselines(results.runs, best.method)}
    compared = [e for e in plain if names.base_name(e.method) in references or e.method in references]
    return [f"Best of {len(methods)} methods: {_compare_entry(results, best, compared)}"]


def _compare_entry(results: DatasetResults, entry: Entry, references: Sequence[Entry]) -> str:
    """An entry's metric, and its gaps to reference methods without generations."""
    parts = [_describe_entry(results, entry)]
    if entry.generation is not None:
        parts[0] += f" after generation {entry.generation}"
    baselines = find_baselines(results.runs, entry.method)
    for reference in references:
        gap = results.gap(entry.method, entry.generation, reference.method)
        level = reference.best(results.metric)
        if gap and level and reference.method != entry.method:
            title = names.method_title(reference.method)
            title += ", its baseline" if baselines == [reference.method] else ""
            title += ", all labels" if names.base_name(reference.method) == ALL_LABELS else ""
            parts.append(f"{format_delta(gap.mean)} against {title} ({format_metric(level.mean, 3)})")
    return "; ".join(parts) + "."


def _describe_entry(results: DatasetResults, entry: Entry) -> str:
    best = entry.best(results.metric)
    seeds = f"over {best.n} seeds" if best and best.n > 1 else "with one seed"
    published = results.published_value(entry.method, entry.generation)
    reference = f"; published {published:.3f}" if published is not None else ""
    top_mean, count = format_mean(entry.top_mean(results.metric)), entry.top_count
    mean = f"mean of the best {count} candidates {top_mean}" if count > 1 else "of one candidate"
    if together := entry.together(results.metric):
        mean += f", their ensemble {format_mean(together)}"
    return (
        f"{names.method_title(entry.method)} reaches a test {results.metric_title} of {format_mean(best)} "
        f"{seeds} ({mean}{reference})"
    )
