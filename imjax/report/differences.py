"""In what the runs of one dataset differ: keys of the configuration, code, device and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imjax.config.schema import PLACES, flatten
from imjax.report import names
from imjax.report.load import Run
from imjax.report.tables import Table

TOLD = PLACES | {"method", "seed", "baselines"}
"""Keys that names and seeds tell, and those that change no result."""
ABSENT = "absent"
DIGITS = 12
"""Of a hash."""


def table(runs: Sequence[Run]) -> Table | None:
    """A line per key and value, with the runs that have it; None where the runs differ in nothing.

    Args:
        runs: of one dataset.
    """
    flats = [_flat(run) for run in runs]
    rows, breaks = [], set()
    for key in sorted(set().union(*flats), key=lambda key: (key.startswith("("), key)):
        values: dict[str, list[Run]] = {}
        for run, flat in zip(runs, flats, strict=True):
            values.setdefault(str(flat.get(key, ABSENT)), []).append(run)
        if len(values) > 1:
            breaks.add(len(rows))
            rows += _lines(key, values, runs)
    if not rows:
        return None
    caption = (
        "Every key of the configuration in which these runs differ, but for method, seed, baselines and "
        "places, and in brackets what else is recorded of a run."
    )
    return Table(("key", "value", "runs"), tuple(rows), caption, breaks=frozenset(breaks - {0}), text=True)


def _flat(run: Run) -> dict[str, Any]:
    record = run.record
    facts = {f"({key})": record.get(key) or "not recorded" for key in ("commit", "device")}
    facts["(data)"] = (record.get("data") or "not recorded")[:DIGITS]
    facts |= {f"({name})": version for name, version in record.get("versions", {}).items()}
    return {key: value for key, value in flatten(run.config).items() if key not in TOLD} | facts


def _lines(key: str, values: Mapping[str, list[Run]], runs: Sequence[Run]) -> list[tuple[str, str, str]]:
    """The commonest value comes last: where most runs have it, they are the others."""
    ordered = sorted(values.items(), key=lambda item: len(item[1]))
    lines = []
    for number, (value, ours) in enumerate(ordered):
        most = number == len(ordered) - 1 and 2 * len(ours) > len(runs) and len(ours) > 2
        lines.append((key if number == 0 else "", value, "all others" if most else _which(ours, runs)))
    return lines


def _which(ours: Sequence[Run], runs: Sequence[Run]) -> str:
    """`IM, IM+ seeds 0, 1`: seeds only where not all runs of a method are meant."""
    parts = []
    for method in dict.fromkeys(run.method for run in ours):
        mine = [run.seed for run in ours if run.method == method]
        whole = len(mine) == sum(run.method == method for run in runs)
        parts.append(names.method(method) + ("" if whole else f" {names.seeds(mine)}"))
    return "; ".join(parts)
