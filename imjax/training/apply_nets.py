"""The one prediction path: a function of one model over a whole set, for all members."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from imjax.ops.batched_map import one_ahead
from imjax.training.data_loader import EnsembleLoader
from imjax.training.ensemble_parallel import Chunks, Members


def sweep(
    members: Members, mapped: Callable, variables: Chunks, source: EnsembleLoader, batch: int
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
    batches = zip(steps, source.batches(indices, steps), strict=True)
    return _collected(
        members,
        ((mapped(variables, data), min(batch, source.count - step * batch)) for step, data in batches),
    )


def stream(
    members: Members, mapped: Callable, variables: Chunks, images: Iterable[np.ndarray], batch: int
) -> Iterator[Any]:
    """Run a mapped function over images that come one by one, so that their number does not matter.

    All batches have one shape, so that one program is compiled; the last is padded.

    Args:
        members: as the function was mapped by.
        mapped: `members.map(function)`, leaves `[b, ...]`.
        variables: per member.
        images: uint8 `[h, w, c]`, all of one shape; at most two batches are taken before the first result.
        batch: images per call; fewer where there are fewer.

    Yields:
        The result per image, in order, numpy leaves `[member, ...]`.
    """
    rest = iter(images)

    def dispatched():
        width = 0
        while group := list(itertools.islice(rest, batch)):
            width = width or len(group)
            padded = np.stack(group + group[-1:] * (width - len(group)))
            same = np.broadcast_to(padded, (members.count, *padded.shape))
            yield mapped(variables, members.shard({"image": same})), len(group)

    for result, counted in _collected(members, dispatched()):
        for i in range(counted):
            yield jax.tree.map(lambda leaf: leaf[:, i], result)  # noqa: B023


def _collected(members: Members, dispatched: Iterable[tuple[Chunks, int]]) -> Iterator[tuple[Any, int]]:
    """Results on the host, one batch ahead."""
    return ((members.gather(result), counted) for result, counted in one_ahead(dispatched))


def per_image(
    members: Members, mapped: Callable, variables: Chunks, source: EnsembleLoader, batch: int
) -> Any:
    """`sweep` of a mapped function with leaves `[b, ...]`, joined to `[member, n, ...]`."""
    batch = min(batch, source.count)
    parts = [
        jax.tree.map(lambda leaf: leaf[:, :counted], part)  # noqa: B023
        for part, counted in sweep(members, mapped, variables, source, batch)
    ]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, 1), *parts)


def mean(members: Members, mapped: Callable, variables: Chunks, source: EnsembleLoader, batch: int) -> Any:
    """`sweep` of a function with scalar leaves, averaged over batches by their size: leaves `[member]`."""
    batch = min(batch, source.count)
    total, weight = None, 0
    for part, counted in sweep(members, mapped, variables, source, batch):
        part = jax.tree.map(lambda leaf: leaf.astype(np.float64) * counted, part)  # noqa: B023
        total = part if total is None else jax.tree.map(np.add, total, part)
        weight += counted
    return jax.tree.map(lambda leaf: leaf / weight, total)
