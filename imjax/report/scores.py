"""Figures of several runs put together: one entry per method and generation, spread over seeds."""

from __future__ import annotations

import csv
import dataclasses
import statistics
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

from imjax.report import names
from imjax.report.runs import Row, Run

PLACES = frozenset(
    {"method", "seed", "baselines", "members_per_chunk", "resident_mib", "data.dir", "data.cache"}
)
"""Configuration keys in which runs that are shown together may differ."""

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

    def best(self, metric: str, label: str = "") -> Spread | None:
        """Figure of the candidate that is best on val (rank 1)."""
        return spread(row.value for rows in self.seeds for row in _of(rows, metric, label) if row.rank == 1)

    def top(self, metric: str) -> Spread | None:
        """Mean figure of the `top` candidates that are best on val."""
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
    """Entries of one dataset's runs: methods without generations first, each seed once."""
    groups: dict[tuple[str, int | None], dict[int, tuple[tuple[Row, ...], int]]] = {}
    for run in runs:
        for key, rows in _by_entry(run).items():
            groups.setdefault(key, {}).setdefault(run.seed, (rows, run.config.get("top", 1)))
    order = list(dict.fromkeys(method for method, _ in groups))
    found = [
        Entry(*key, tuple(rows for rows, _ in seeds.values()), tuple(top for _, top in seeds.values()))
        for key, seeds in groups.items()
    ]
    return tuple(
        sorted(found, key=lambda e: (e.generation is not None, order.index(e.method), e.generation or 0))
    )


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


def published() -> Published:
    """The published test figures, means of three runs."""
    text = resources.files("imjax.report").joinpath("published.csv").read_text(encoding="utf-8")
    return {
        (
            line["dataset"],
            line["method"],
            int(line["generation"]) if line["generation"] else None,
            line["metric"],
        ): float(line["value"])
        for line in csv.DictReader(text.splitlines())
    }


def cautions(runs: Sequence[Run]) -> list[str]:
    """What a reader must know before comparing runs of one dataset with one another."""
    return _clashes(runs) + _differences(runs)


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
    keys = sorted(set().union(*flats) - PLACES)
    lines = []
    for key in keys:
        values = dict.fromkeys(str(flat.get(key, "absent")) for flat in flats)
        if len(values) > 1:
            lines.append(f"{key} ({' / '.join(values)})")
    return [f"The runs differ in more than method and seed: {', '.join(lines)}."] if lines else []


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration → one level with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
