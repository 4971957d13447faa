"""Runs of one method with different settings, as ablations make them: told apart by the keys that differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from imjax.config.schema import flatten
from imjax.report import names
from imjax.report.load import Run
from imjax.report.scores import VARYING

EXTENT = {"generations", "top"}
"""Keys that say how far a run goes and what is averaged; they make no other method of it."""


def told_apart(runs: Sequence[Run]) -> list[Run]:
    """The runs of one dataset, those of a method with several settings renamed: `im (members 3)`.

    The start's nets that such a run has as well are renamed with it only where they differ too: LDT is the
    same for every size of ensemble, but not for every share of labels.
    """
    keys = {run.workdir: differing for group in _by_method(runs) for run, differing in _differing(group)}
    labels = {run.workdir: _label(run, keys[run.workdir]) for run in runs}
    split = {method for method in _methods(runs) if _differs(runs, method, labels)}
    found = []
    for run in runs:
        label = labels[run.workdir]
        titles = {m: names.variant(m, label) for m in _methods([run]) | {run.method} if label}
        titles = {m: title for m, title in titles.items() if m == run.method or m in split}
        rows = tuple(dataclasses.replace(row, method=titles.get(row.method, row.method)) for row in run.rows)
        told_by = frozenset(keys[run.workdir])
        found.append(dataclasses.replace(run, rows=rows, titles=titles, told_by=told_by))
    return found


def _by_method(runs: Sequence[Run]) -> list[list[Run]]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.method, []).append(run)
    return list(groups.values())


def _methods(runs: Sequence[Run]) -> set[str]:
    return {row.method for run in runs for row in run.rows}


def _differing(runs: Sequence[Run]) -> list[tuple[Run, list[str]]]:
    """Each run of a method with the keys by which these runs differ."""
    flats = [flatten(run.config) for run in runs]
    keys = sorted(set().union(*flats) - VARYING - EXTENT)
    differing = [key for key in keys if len({str(flat.get(key)) for flat in flats}) > 1]
    return [(run, differing) for run in runs]


def _label(run: Run, keys: Sequence[str]) -> str:
    flat = flatten(run.config)
    return ", ".join(f"{key.split('.')[-1]} {flat.get(key, 'absent')}" for key in keys)


def _differs(runs: Sequence[Run], method: str, labels: dict) -> bool:
    """Whether runs of one seed but with different labels have different rows of a method."""
    first: dict[int, tuple] = {}
    for run in runs:
        rows = tuple(row for row in run.rows if row.method == method)
        if rows and labels[run.workdir] and first.setdefault(run.seed, rows) != rows:
            return True
    return False
