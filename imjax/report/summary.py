"""The results in a few sentences."""

from __future__ import annotations

from collections.abc import Sequence

from imjax.data.spec import DatasetSpec
from imjax.report import aggregate, names
from imjax.report.aggregate import Entry, Published
from imjax.report.load import RunRecord
from imjax.report.tables import format_delta, format_mean, format_metric

FEW = 2
"""Up to this many methods each get a sentence."""
ALL_LABELS = "fdt"
BOUNDS = names.ORACLES | {ALL_LABELS}
"""Methods that see more labels than there are: never named the best method."""


def write_sentences(
    spec: DatasetSpec, entries: Sequence[Entry], runs: Sequence[RunRecord], published: Published, top: str
) -> list[str]:
    """The primary metric of every method in words; of more than `FEW` methods, that of the best.

    Args:
        spec: of the dataset.
        entries: of `runs`.
        runs: of the dataset.
        published: values of the papers.
        top: how many candidates the mean takes, as text.
    """
    last = {entry.method: entry for entry in entries if entry.best(spec.headline)}
    if not last:
        return [f"No test {names.metric_title(spec.headline)} yet."]
    plain = [entry for entry in last.values() if entry.generation is None]
    generational = [entry for entry in last.values() if entry.generation is not None]
    fair = [e for e in last.values() if not e.ranked_on_test and names.base_name(e.method) not in BOUNDS]
    # The ensemble of a method's nets is no method of its own.
    methods = {names.method_title(entry.method).removesuffix(", ensemble") for entry in fair}
    if len(methods) <= FEW or 0 < len(generational) <= FEW:
        if not generational:
            return [f"{_describe_entry(spec, entry, published, top)}." for entry in plain]
        return [_compare_entry(spec, entry, plain, runs, published, top) for entry in generational]
    select = min if spec.headline in names.DESCENDING else max
    best = select(fair, key=lambda entry: entry.best(spec.headline).mean)
    references = {ALL_LABELS, *aggregate.find_baselines(runs, best.method)}
    compared = [e for e in plain if names.base_name(e.method) in references or e.method in references]
    sentence = _compare_entry(spec, best, compared, runs, published, top)
    return [f"Best of {len(methods)} methods: {sentence}"]


def _compare_entry(
    spec: DatasetSpec,
    entry: Entry,
    references: Sequence[Entry],
    runs: Sequence[RunRecord],
    published: Published,
    top: str,
) -> str:
    """An entry's metric, and its gaps to reference methods without generations."""
    parts = [_describe_entry(spec, entry, published, top)]
    if entry.generation is not None:
        parts[0] += f" after generation {entry.generation}"
    baselines = aggregate.find_baselines(runs, entry.method)
    for reference in references:
        gap = aggregate.compute_gap(runs, entry.method, entry.generation, reference.method, spec.headline)
        if gap and reference.method != entry.method:
            title = names.method_title(reference.method)
            title += ", its baseline" if baselines == [reference.method] else ""
            title += ", all labels" if names.base_name(reference.method) == ALL_LABELS else ""
            value = format_metric(reference.best(spec.headline).mean, 3)
            parts.append(f"{format_delta(gap.mean)} against {title} ({value})")
    return "; ".join(parts) + "."


def _describe_entry(spec: DatasetSpec, entry: Entry, published: Published, top: str) -> str:
    paper = published.get((spec.name, entry.method, entry.generation, spec.headline))
    best = entry.best(spec.headline)
    seeds = f"over {best.n} seeds" if best and best.n > 1 else "with one seed"
    reference = f"; published {paper:.3f}" if paper is not None else ""
    return (
        f"{names.method_title(entry.method)} reaches a test {names.metric_title(spec.headline)} of "
        f"{format_mean(best)} {seeds} "
        f"(mean of the best {top} candidates {format_mean(entry.top_mean(spec.headline))}{reference})"
    )
