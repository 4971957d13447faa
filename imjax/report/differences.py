"""Differences between the runs of one dataset: configuration keys, code, device and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imjax.config.convert import flatten
from imjax.config.schema import PLACES
from imjax.report import names
from imjax.report.aggregate import group_by_method
from imjax.report.load import RunRecord
from imjax.report.tables import Table

IGNORED_KEYS = PLACES | {"method", "seed", "baselines"}
"""Keys that names and seeds show, and those that change no result."""
HASH_DIGITS = 12


def tabulate_differences(runs: Sequence[RunRecord]) -> Table | None:
    """A line per key and value, with the runs that have it; None where the dataset's runs do not differ."""
    flats = [_flatten_record(run) for run in runs]
    rows: list[tuple[str, str, str]] = []
    breaks = set()
    for key in sorted(set().union(*flats), key=lambda key: (key.startswith("("), key)):
        groups: dict[str, list[RunRecord]] = {}
        for run, flat in zip(runs, flats, strict=True):
            groups.setdefault(str(flat.get(key, "absent")), []).append(run)
        if len(groups) > 1:
            breaks.add(len(rows))
            rows += _tabulate_key(key, groups, runs)
    if not rows:
        return None
    caption = (
        "Every configuration key in which these runs differ, except method, seed, baselines, folders and "
        "device limits; in parentheses, what else is recorded of a run."
    )
    return Table(("key", "value", "runs"), tuple(rows), caption, breaks=frozenset(breaks - {0}), text=True)


def _flatten_record(run: RunRecord) -> dict[str, Any]:
    record = run.record
    recorded = {f"({key})": record.get(key) or "not recorded" for key in ("commit", "device")}
    recorded["(data)"] = (record.get("data") or "not recorded")[:HASH_DIGITS]
    recorded |= {f"({name})": version for name, version in record.get("versions", {}).items()}
    return {key: value for key, value in flatten(run.config).items() if key not in IGNORED_KEYS} | recorded


def _tabulate_key(
    key: str, groups: Mapping[str, list[RunRecord]], runs: Sequence[RunRecord]
) -> list[tuple[str, str, str]]:
    """The most common value comes last: where most runs have it, they are named `all others`."""
    ordered = sorted(groups.items(), key=lambda item: len(item[1]))
    rows = []
    for number, (value, group) in enumerate(ordered):
        majority = number == len(ordered) - 1 and 2 * len(group) > len(runs) and len(group) > 2
        owners = "all others" if majority else _describe_runs(group, runs)
        rows.append((key if number == 0 else "", value, owners))
    return rows


def _describe_runs(group: Sequence[RunRecord], runs: Sequence[RunRecord]) -> str:
    """`IM, IM+ seeds 0, 1`: seeds only where not all runs of a method are meant."""
    totals = {method: len(members) for method, members in group_by_method(runs).items()}
    parts = []
    for method, members in group_by_method(group).items():
        seeds = f" {names.format_seeds(run.seed for run in members)}" if len(members) < totals[method] else ""
        parts.append(names.method_title(method) + seeds)
    return "; ".join(parts)
