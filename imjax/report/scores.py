"""Figures of several runs put together: one entry per method and generation, spread over seeds."""

from __future__ import annotations

import csv
import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence
from importlib import resources

from imjax.config.schema import PLACES, flatten
from imjax.report import names
from imjax.report.load import Row, Run

# select_on_test has a warning of its own, and is not in older runs, where it stands for False.
# A run's name tells its weighting.
VARYING = PLACES | {"method", "seed", "baselines", "select_on_test", "metassl", "joint.weighting"}
"""Configuration keys in which runs that are shown together may differ."""

LABELED = {"fdt": "ldt", "aldt": "ldt"}
"""Methods without pseudo-labels → the one whose labels they add to."""

Published = dict[tuple[str, str, int | None, str], float]
"""(dataset, method, generation, metric) → test figure of the paper."""


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean over seeds; `sd` with n − 1, None for one seed."""

    mean: float
    sd: float | None
    n: int


@dataclasses.dataclass(frozen=True)
class Entry:
    """Test figures of one method at one generation (None: it has none)."""

    method: str
    generation: int | None
    seeds: tuple[tuple[Row, ...], ...]
    """Rows of the test split, one tuple per seed."""
    tops: tuple[int, ...]
    """`config.top` of each seed's run."""
    on_test: bool = False
    """Whether the candidates of any seed were ranked on the test split."""

    def best(self, metric: str, label: str = "") -> Spread | None:
        """Figure of the candidate that is ranked first: on val, unless `on_test`."""
        return spread(row.value for rows in self.seeds for row in _of(rows, metric, label) if row.rank == 1)

    def top(self, metric: str) -> Spread | None:
        """Mean figure of the `top` candidates that are ranked first."""
        means = []
        for rows, top in zip(self.seeds, self.tops, strict=True):
            values = [row.value for row in _of(rows, metric) if row.rank <= top]
            known = [value for value in values if value is not None]
            # A candidate without a figure would make the mean one of fewer than it says.
            means.append(statistics.fmean(known) if known and len(known) == len(values) else None)
        return spread(means)

    def candidates(self, metric: str) -> list[float]:
        """Figures of all candidates of all seeds."""
        found = (row.value for rows in self.seeds for row in _of(rows, metric))
        return [value for value in found if value is not None]


def spread(values: Iterable[float | None]) -> Spread | None:
    """Mean and standard deviation of the values that are there; None if none is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    sd = statistics.stdev(known) if len(known) > 1 else None
    return Spread(statistics.fmean(known), sd, len(known))


def _of(rows: Iterable[Row], metric: str, label: str = "") -> list[Row]:
    return [row for row in rows if row.metric == metric and row.label == label]


def entries(runs: Sequence[Run]) -> tuple[Entry, ...]:
    """Entries of one dataset's runs in the order of the page, each seed once."""
    groups: dict[tuple[str, int | None], dict[int, tuple[tuple[Row, ...], Run]]] = {}
    for run in runs:
        for key, rows in _by_entry(run).items():
            groups.setdefault(key, {}).setdefault(run.seed, (rows, run))
    found = [
        Entry(
            *key,
            tuple(rows for rows, _ in seeds.values()),
            tuple(run.config.get("top", 1) for _, run in seeds.values()),
            any(run.select_on_test for _, run in seeds.values()),
        )
        for key, seeds in groups.items()
    ]
    order = list(dict.fromkeys(method for method, _ in groups))

    def place(entry: Entry) -> tuple[int, int, int]:
        generation = -1 if entry.generation is None else entry.generation
        return names.position(entry.method), order.index(entry.method), generation

    return tuple(sorted(found, key=place))


def origins(runs: Sequence[Run], method: str) -> list[str]:
    """Methods that a method grew from: the start of its runs, or LDT for ALDT and FDT; empty for LDT."""
    starts = dict.fromkeys(run.start for run in runs if run.method == method and run.start != method)
    if starts or names.base(method) not in LABELED:
        return list(starts)
    fewer = LABELED[names.base(method)]
    twin = fewer + method.removeprefix(names.base(method))
    return [twin if any(row.method == twin for run in runs for row in run.rows) else fewer]


def gap(runs: Sequence[Run], method: str, generation: int | None, other: str, metric: str) -> Spread | None:
    """By how much a method's test figure is above that of another, which has no generations, seed by seed.

    What a seed does to both figures is not in their difference, so that the standard deviation is the
    gap's own and not that of the figures.

    Args:
        runs: of one dataset.
        method: whose figure counts.
        generation: of that method, None if it has none.
        other: the method to compare with; that of the same run where the run has it, since the same seed
            on another machine may give other figures.
        metric: the figure.

    Returns:
        Mean and standard deviation of the differences; None where no seed has both.
    """
    ours, theirs = (method, generation, metric), (other, None, metric)
    differences: dict[int, float] = {}
    for run in runs:
        if run.seed in differences or ours not in run.best:
            continue
        twins = [twin for twin in (run, *runs) if twin.seed == run.seed and theirs in twin.best]
        if twins:
            differences[run.seed] = run.best[ours] - twins[0].best[theirs]
    return spread(differences.values())


def _by_entry(run: Run) -> dict[tuple[str, int | None], tuple[Row, ...]]:
    groups: dict[tuple[str, int | None], list[Row]] = {}
    for row in run.rows:
        if row.split == "test":
            groups.setdefault((row.method, row.generation), []).append(row)
    return {key: tuple(rows) for key, rows in groups.items()}


def metrics(found: Sequence[Entry], headline: str) -> list[str]:
    """Metrics without a class, the headline first."""
    rows = (row for entry in found for rows in entry.seeds for row in rows if not row.label)
    return sorted(dict.fromkeys(row.metric for row in rows), key=lambda metric: metric != headline)


def published(runs: Sequence[Run] = ()) -> Published:
    """The published test figures, means of three runs.

    Args:
        runs: whose figures are shown; those that the papers have for another share of labels are left out.
    """
    shares = {run.config["data"]["label_fraction"] for run in runs}

    def fits(line: dict[str, str]) -> bool:
        """Without a share in the table all labels were used."""
        return not line["labels"] or all(math.isclose(share, float(line["labels"])) for share in shares)

    text = resources.files("imjax.report").joinpath("published.csv").read_text(encoding="utf-8")
    return {
        (
            line["dataset"],
            line["method"],
            int(line["generation"]) if line["generation"] else None,
            line["metric"],
        ): float(line["value"])
        for line in csv.DictReader(text.splitlines())
        if fits(line)
    }


def ranked_on_test(runs: Sequence[Run]) -> list[str]:
    """A line on runs whose candidates were picked by what they are measured on; empty without such runs."""
    found = [run for run in runs if run.select_on_test]
    if not found:
        return []
    seeds: dict[str, list[int]] = {}
    for run in found:
        seeds.setdefault(names.method(run.method), []).append(run.seed)
    which = "; ".join(f"{method}, {names.seeds(numbers)}" for method, numbers in seeds.items())
    where = "in every run here" if len(found) == len(runs) else f"in {which}"
    return [
        f"Candidates were ranked on TEST: for replication only. select_on_test is true {where}: such figures "
        "are too good and compare only with figures that were picked the same way."
    ]


def dropped(runs: Sequence[Run]) -> list[str]:
    """A line per run with candidates that training went on without; empty without such runs."""
    lines = []
    for run in runs:
        stages = [
            (stage.name, len(stage.fitted["dropped"])) for stage in run.stages if stage.fitted.get("dropped")
        ]
        if stages:
            where = ", ".join(f"{count} in {names.stage(name)}" for name, count in stages)
            which = f"{names.method(run.method)}, {names.seeds([run.seed])}"
            lines.append(
                f"Candidates dropped: {which}: {where}, as their loss was not finite (on_nan is "
                "drop). They are ranked last and were used in no ensemble."
            )
    return lines


def cautions(runs: Sequence[Run]) -> list[str]:
    """What a reader must know before comparing runs of one dataset with one another."""
    return _leaks(runs) + _clashes(runs) + _differences(runs)


def _leaks(runs: Sequence[Run]) -> list[str]:
    """A line for each split that has copies of training's scenes among its test images (methods.md 2.1)."""
    lines = []
    for run in runs:
        seen, tested = run.record.get("seen", 0), run.record.get("counts", {}).get("test", 0)
        if seen:
            lines.append(
                f"Split {run.config['data']['split']!r}: {seen} of {tested} test images have a copy of their "
                "scene in training or val; test figures flatter."
            )
    return list(dict.fromkeys(lines))


def _clashes(runs: Sequence[Run]) -> list[str]:
    first: dict[tuple[str, int | None, int], tuple[tuple[Row, ...], Run]] = {}
    found = []
    for run in runs:
        for (method, generation), rows in _by_entry(run).items():
            other, holder = first.setdefault((method, generation, run.seed), (rows, run))
            if other != rows:
                title = names.entry(method, generation)
                found.append(
                    f"{title} with seed {run.seed} is in {holder.workdir} and, with other figures, in "
                    f"{run.workdir}: the first is shown."
                )
    return found


def _differences(runs: Sequence[Run]) -> list[str]:
    flats = [flatten(run.config) for run in runs]
    # What tells runs apart is in their names.
    keys = sorted(set().union(*flats) - VARYING - set().union(*(run.told_by for run in runs)))
    lines = []
    for key in keys:
        values = dict.fromkeys(str(flat.get(key, "absent")) for flat in flats)
        if len(values) > 1:
            lines.append(f"{key} ({' / '.join(values)})")
    return [f"The runs differ in more than method and seed: {', '.join(lines)}."] if lines else []
