"""Names in the column `method` of results.csv."""

from __future__ import annotations

from collections.abc import Collection

ENSEMBLE = "_ensemble"
"""Ending of the name in rows of several nets together: their mean probability."""


def find_single(name: str, methods: Collection[str]) -> str | None:
    """Name of the method whose nets the ensemble `name` is of; None where it is none of these methods."""
    single = name.removesuffix(ENSEMBLE)
    return single if single != name and single in methods else None
