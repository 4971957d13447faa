"""What came out, in a sentence or a few, and what a reader must know with it."""

from __future__ import annotations

from collections.abc import Sequence

from imjax.data.spec import DatasetSpec
from imjax.report import names, scores, tables
from imjax.report.load import Run
from imjax.report.scores import Entry, Published

FEW = 2
"""Methods whose figures can all be told in sentences."""
SCARCE = 10
"""Test images below which the report says how few they are."""
ALL_LABELS = "fdt"
BOUNDS = names.ORACLES | {ALL_LABELS}
"""Methods that see more labels than there are: never the best of all."""


def sentences(
    spec: DatasetSpec, found: Sequence[Entry], runs: Sequence[Run], published: Published, top: str
) -> list[str]:
    """The headline figure of every method in words; of more than `FEW` methods, that of the best.

    Args:
        spec: of the dataset.
        found: entries of `runs`.
        runs: of the dataset.
        published: figures of the papers.
        top: how many candidates the mean takes, as text.
    """
    known = [entry for entry in found if entry.best(spec.primary_metric)]
    last = {entry.method: entry for entry in known}
    plain = [entry for entry in last.values() if entry.generation is None]
    grown = [entry for entry in last.values() if entry.generation is not None]
    if not known:
        return [f"No test {names.metric(spec.primary_metric)} yet."]
    fair = [e for e in last.values() if not e.on_test and names.base(e.method) not in BOUNDS]
    # The ensemble of a method's nets is no method of its own.
    methods = {names.method(entry.method).removesuffix(", ensemble") for entry in fair}
    if len(methods) <= FEW or 0 < len(grown) <= FEW:
        if not grown:
            return [f"{_reached(spec, entry, published, top)}." for entry in plain]
        return [_told(spec, entry, plain, runs, published, top) for entry in grown]
    choose = min if spec.primary_metric in names.DESCENDING else max
    best = choose(fair, key=lambda entry: entry.best(spec.primary_metric).mean)
    starts = {ALL_LABELS, *scores.origins(runs, best.method)}
    others = [entry for entry in plain if names.base(entry.method) in starts or entry.method in starts]
    return [f"Best of {len(methods)} methods: {_told(spec, best, others, runs, published, top)}"]


def notes(found: Sequence[Entry], runs: Sequence[Run]) -> list[str]:
    """How far the headline can be trusted: the seeds of its entries, and the images of the runs' tests."""
    lines = []
    several = len({entry.method for entry in found}) > 1
    if several and all(len(entry.seeds) == 1 for entry in found):
        lines.append(
            "One seed each: how far a method's figure varies from seed to seed is not known, and small "
            "differences say nothing about the order of methods."
        )
    counts = [run.record.get("counts", {}).get("test", SCARCE) for run in runs]
    if min(counts, default=SCARCE) < SCARCE:
        images = f"{min(counts)} image" + "s" * (min(counts) != 1)
        lines.append(f"The test set has {images}: a figure can change a lot with any of them.")
    return lines


def unfinished(runs: Sequence[Run]) -> list[str]:
    """A line for each run that is not at its end."""
    lines = []
    for run in runs:
        labels = any(stage.name.startswith("label_g") or stage.name == "pairs" for stage in run.stages)
        if labels or run.generations:
            if len(run.generations) < (total := run.config.get("generations", 0)):
                lines.append(f"{title(run)}: {len(run.generations)} of {total} generations are finished.")
        elif not any(row.method == run.method for row in run.rows):
            lines.append(f"{title(run)}: not finished; shown is what there is so far.")
    return lines


def title(run: Run) -> str:
    """`IM++ on SUIM, seed 0`."""
    return f"{names.method(run.method)} on {run.spec.title}, seed {run.seed}"


def _told(
    spec: DatasetSpec,
    entry: Entry,
    others: Sequence[Entry],
    runs: Sequence[Run],
    published: Published,
    top: str,
) -> str:
    """A method's figure, beside those of methods without generations."""
    parts = [_reached(spec, entry, published, top)]
    if entry.generation is not None:
        parts[0] += f" after generation {entry.generation}"
    starts = scores.origins(runs, entry.method)
    for other in others:
        gap = scores.gap(runs, entry.method, entry.generation, other.method, spec.primary_metric)
        if gap and other.method != entry.method:
            # A joint method grows from nothing: it is trained anew, and held against another.
            kind = "baseline" if entry.generation is None else "start"
            name = names.method(other.method) + (f", its {kind}" if starts == [other.method] else "")
            name += ", all labels" if names.base(other.method) == ALL_LABELS else ""
            theirs = tables.figure(other.best(spec.primary_metric).mean, 3)
            parts.append(f"{tables.signed(gap.mean)} against {name} ({theirs})")
    return "; ".join(parts) + "."


def _reached(spec: DatasetSpec, entry: Entry, published: Published, top: str) -> str:
    paper = published.get((spec.name, entry.method, entry.generation, spec.primary_metric))
    best = entry.best(spec.primary_metric)
    seeds = f"over {best.n} seeds" if best and best.n > 1 else "with one seed"
    known = f"; published {paper:.3f}" if paper is not None else ""
    return (
        f"{names.method(entry.method)} reaches a test {names.metric(spec.primary_metric)} of "
        f"{tables.brief(best)} {seeds} "
        f"(mean of the best {top} candidates {tables.brief(entry.top(spec.primary_metric))}{known})"
    )
