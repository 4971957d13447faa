"""Examples for the members, from the device's memory or streamed from the host: same batches either way."""

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
    """A set of examples, and batches of it for every member.

    Args:
        examples: arrays `[n, ...]`.
        members: who the batches are for.
        max_device_dataset_mib: larger sets are read from the host through grain, not kept on each device.
    """

    def __init__(self, examples: Examples, members: Members, max_device_dataset_mib: int):
        self.count = len(next(iter(examples.values())))
        self._members = members
        self._examples = examples
        size = sum(a.nbytes for a in examples.values())
        self._resident = members.share(examples) if size <= max_device_dataset_mib << 20 else None
        self._gather = _gatherer(members)

    def batches(self, indices: Callable[[int], np.ndarray], steps: range) -> Iterator[Chunks]:
        """Batches of the steps asked for.

        Args:
            indices: step → int32 `[member, b]`; -1 pads.
            steps: the steps, in order.

        Yields:
            Dicts of `[device, member, b, ...]` per chunk, with `counted` False where padded.
        """
        if self._resident is not None:
            for step in steps:
                yield self._gather(self._resident, self._members.spread(indices(step)))
        else:
            for batch in loader.stream_batches(self._examples, indices, steps):
                yield self._members.spread(batch)

    def shuffled(self, seed: int, stream: str, batch: int) -> Callable[[int], np.ndarray]:
        """Training order: endless passes, each a fresh permutation of its own for every member.

        Epochs of ⌊n/batch⌋ steps need not end where a pass ends: the remainder comes first in the next.
        """
        orders = [
            loader.ShuffledOrder(seed, stream, self.count, batch, (m,)) for m in range(self._members.count)
        ]
        return lambda step: np.stack([order.indices(step) for order in orders])

    def in_order(self, batch: int) -> tuple[Callable[[int], np.ndarray], range]:
        """Every example once, in order, the same for all members: the indices and the steps they take."""
        steps = range(-(-self.count // batch))

        def indices(step: int) -> np.ndarray:
            i = np.arange(step * batch, (step + 1) * batch, dtype=np.int32)
            return np.tile(np.where(i < self.count, i, -1).astype(np.int32), (self._members.count, 1))

        return indices, steps


STREAMS = {"labeled": "labelled", "unlabeled": "unlabelled"}
"""Set of a batch → the name in its random stream, which spelled otherwise would draw other batches."""


class PairedLoader:
    """Several sets that share every batch, each in an order of its own; an `EnsembleLoader` to the loop.

    Args:
        parts: sets by name. A batch of b has ⌊b / parts⌋ examples of each, under its name.
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
        found = [part.batches(indices[name], steps) for name, part in self._parts.items()]
        for parts in zip(*found, strict=True):
            yield [dict(zip(self._parts, chunk, strict=True)) for chunk in zip(*parts, strict=True)]


@functools.lru_cache(maxsize=32)
def _gatherer(members: Members) -> Callable:
    return members.map(_gather, shared=(0,))


def _gather(examples: dict[str, jax.Array], indices: jax.Array) -> dict[str, jax.Array]:
    batch = {name: array[jnp.maximum(indices, 0)] for name, array in examples.items()}
    return batch | {"counted": indices >= 0}
