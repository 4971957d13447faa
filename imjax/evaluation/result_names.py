"""Names in the column `method` of results.csv."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from typing import TypeVar

T = TypeVar("T")
Generation = TypeVar("Generation", bound=Hashable)

ENSEMBLE = "_ensemble"
"""Ending of the name in rows of several nets together: their mean probability."""


def find_single(name: str, methods: Collection[str]) -> str | None:
    """Name of the method whose nets the ensemble `name` is of; None where it is none of these methods."""
    single = name.removesuffix(ENSEMBLE)
    return single if single != name and single in methods else None


def split_ensembles(
    groups: Mapping[tuple[str, Generation], T], find_name: Callable[[str], str | None]
) -> tuple[dict[tuple[str, Generation], T], dict[tuple[str, Generation], T]]:
    """Take ensembles out of groups of results.

    Args:
        groups: (name, generation) → results.
        find_name: as `find_single`.

    Returns:
        The other groups, and ensembles by the name and generation of the nets that they are of.
    """
    own, ensembles = {}, {}
    for (name, generation), results in groups.items():
        single = find_name(name)
        if single is not None and (single, generation) in groups:
            ensembles[single, generation] = results
        else:
            own[name, generation] = results
    return own, ensembles
