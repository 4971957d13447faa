"""The one prediction path: a function of one model over a whole set, for all members."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from imjax.engine.members import Chunks, Members
from imjax.engine.source import Source


def sweep(
    members: Members, mapped: Callable, variables: Chunks, source: Source, batch: int
) -> Iterator[tuple[Any, int]]:
    """Run a mapped function of (variables, batch) over the set in order.

    Args:
        members: as the function was mapped by.
        mapped: `members.map(function)`.
        variables: per member.
        source: the set.
        batch: examples per call.

    Yields:
        The result per batch as numpy leaves `[member, ...]`, and how many of its examples count.
    """
    indices, steps = source.in_order(batch)
    waiting = None
    # One batch ahead: the devices work on the next while the host takes the last.
    for step, data in zip(steps, source.batches(indices, steps), strict=True):
        result = mapped(variables, data), min(batch, source.count - step * batch)
        if waiting:
            yield members.collect(waiting[0]), waiting[1]
        waiting = result
    if waiting:
        yield members.collect(waiting[0]), waiting[1]


def per_image(members: Members, mapped: Callable, variables: Chunks, source: Source, batch: int) -> Any:
    """`sweep` of a mapped function with leaves `[b, ...]`, joined to `[member, n, ...]`."""
    batch = min(batch, source.count)
    parts = [
        jax.tree.map(lambda leaf: leaf[:, :counted], part)  # noqa: B023
        for part, counted in sweep(members, mapped, variables, source, batch)
    ]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, 1), *parts)


def mean(members: Members, mapped: Callable, variables: Chunks, source: Source, batch: int) -> Any:
    """`sweep` of a function with scalar leaves, averaged over batches by their size: leaves `[member]`."""
    batch = min(batch, source.count)
    total, weight = None, 0
    for part, counted in sweep(members, mapped, variables, source, batch):
        part = jax.tree.map(lambda leaf: leaf.astype(np.float64) * counted, part)  # noqa: B023
        total = part if total is None else jax.tree.map(np.add, total, part)
        weight += counted
    return jax.tree.map(lambda leaf: leaf / weight, total)
