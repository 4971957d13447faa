"""Batches for the members, from device memory or streamed from the process's memory: equal either way."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from imjax.data import loader
from imjax.training.ensemble_parallel import Chunks, Members

Examples = dict[str, np.ndarray]
"""Arrays with a leading axis over examples."""


class EnsembleLoader:
    """A dataset, and batches of it for every member.

    Args:
        examples: arrays `[n, ...]`.
        members: the members that the batches are for.
        max_device_dataset_mib: larger datasets are streamed through grain, not stored on each device.
    """

    def __init__(self, examples: Examples, members: Members, max_device_dataset_mib: int):
        self.count = len(next(iter(examples.values())))
        self._members = members
        self._examples = examples
        size = sum(a.nbytes for a in examples.values())
        self._resident = members.replicate(examples) if size <= max_device_dataset_mib << 20 else None
        self._gather = _gatherer(members)

    def batches(self, indices: Callable[[int], np.ndarray], steps: range) -> Iterator[Chunks]:
        """Batches of the given steps.

        Args:
            indices: step → int32 `[member, b]`; -1 pads.
            steps: the steps, in order.

        Yields:
            Dicts of `[device, member, b, ...]` per chunk, with `counted` False where padded.
        """
        if self._resident is not None:
            for step in steps:
                yield self._gather(self._resident, self._members.shard_batch(indices(step)))
        else:
            for batch in loader.stream_batches(self._examples, indices, steps):
                yield self._members.shard_batch(batch)

    def shuffled(self, seed: int, stream: str, batch: int) -> Callable[[int], np.ndarray]:
        """Training order: endless passes, each a new permutation, different for every member.

        Epochs of ⌊n/batch⌋ steps need not end where a pass ends: the remainder comes first in the next epoch.

        Returns:
            step → int32 `[member, batch]`.
        """
        orders = [
            loader.ShuffledOrder(seed, stream, self.count, batch, (m,)) for m in range(self._members.count)
        ]
        return lambda step: np.stack([order.indices(step) for order in orders])

    def in_order(self, batch: int) -> tuple[Callable[[int], np.ndarray], range]:
        """Every example once, in order, the same for all members: (step → indices, steps)."""
        steps = range(-(-self.count // batch))

        def indices(step: int) -> np.ndarray:
            i = np.arange(step * batch, (step + 1) * batch, dtype=np.int32)
            return np.tile(np.where(i < self.count, i, -1).astype(np.int32), (self._members.count, 1))

        return indices, steps


STREAMS = {"labeled": "labelled", "unlabeled": "unlabelled"}
"""Part of a batch → its name in the random stream. A stream is drawn by its name, so another spelling would
draw other batches than earlier runs."""


class PairedLoader:
    """Several datasets that share every batch, each in its own order; same interface as `EnsembleLoader`.

    Args:
        parts: datasets by name. A batch of b has ⌊b / parts⌋ examples of each, under its name.
    """

    def __init__(self, parts: dict[str, EnsembleLoader]):
        self.count = max(part.count for part in parts.values())
        self._parts = parts

    def shuffled(self, seed: int, stream: str, batch: int) -> dict[str, Callable[[int], np.ndarray]]:
        """See `EnsembleLoader.shuffled`; the orders by name."""
        share = batch // len(self._parts)
        return {
            name: part.shuffled(seed, f"{stream}/{STREAMS.get(name, name)}", share)
            for name, part in self._parts.items()
        }

    def batches(self, indices: dict[str, Callable[[int], np.ndarray]], steps: range) -> Iterator[Chunks]:
        """See `EnsembleLoader.batches`; each chunk holds the parts' batches by name."""
        streams = [part.batches(indices[name], steps) for name, part in self._parts.items()]
        for parts in zip(*streams, strict=True):
            yield [dict(zip(self._parts, chunk, strict=True)) for chunk in zip(*parts, strict=True)]


@functools.lru_cache(maxsize=32)
def _gatherer(members: Members) -> Callable:
    return members.map(_gather, shared=(0,), gives_batch=True)


def _gather(examples: dict[str, jax.Array], indices: jax.Array) -> dict[str, jax.Array]:
    # Padding (-1) takes example 0, and `counted` excludes it.
    batch = {name: array[jnp.maximum(indices, 0)] for name, array in examples.items()}
    return batch | {"counted": indices >= 0}
