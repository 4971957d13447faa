"""Which images a step sees, as a pure function of the step: nothing of it is ever checkpointed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator

import numpy as np

from imjax import rng
from imjax.data.memory_map import release_pages


@dataclasses.dataclass(frozen=True)
class ShuffledOrder:
    """Endless shuffled order over `n` images: every pass over them is a fresh permutation."""

    seed: int
    stream: str
    """What the order is for; other names give independent orders."""
    n: int
    batch: int
    """Images per step; may exceed `n`."""
    ids: tuple[int, ...] = ()
    """Generation, member and the like; other ids give independent orders."""

    def __post_init__(self) -> None:
        if self.n < 1 or self.batch < 1:
            raise ValueError(f"n = {self.n} and batch = {self.batch}, expected both at least 1")

    def indices(self, step: int) -> np.ndarray:
        """Images of one step, int32 `[batch]`."""
        return self.block(step, 1)[0]

    def block(self, step: int, steps: int) -> np.ndarray:
        """Images of `steps` steps from `step` on, int32 `[steps, batch]`."""
        positions = np.arange(step * self.batch, (step + steps) * self.batch)
        turn, place = np.divmod(positions, self.n)
        out = np.empty(len(positions), np.int32)
        for t in range(int(turn[0]), int(turn[-1]) + 1) if len(turn) else ():
            out[turn == t] = _permutation(self.seed, self.stream, self.ids, self.n, t)[place[turn == t]]
        return out.reshape(steps, self.batch)


def stream_batches(
    examples: dict[str, np.ndarray],
    indices: Callable[[int], np.ndarray],
    steps: range,
    threads: int = 2,
    ahead: int = 4,
) -> Iterator[dict[str, np.ndarray]]:
    """Batches of a set that does not fit on the device, read ahead by grain.

    Args:
        examples: arrays `[n, ...]`, usually memory maps.
        indices: step -> int array of any shape, e.g. `[member, batch]`; negative entries pad.
        steps: which to yield; the batches are the same whether or not a run was cut before them.
        threads: reading threads; 0 reads in the caller's.
        ahead: batches held ready.

    Yields:
        `array[indices(step)]` of each array, and `counted`, False where padded.
    """
    # Here, so that sets that fit on the device need no grain.
    import grain

    read = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(ahead, 1))
    source = _Batches(examples, indices, steps)
    # Closing ends grain's threads when the caller stops early.
    with contextlib.closing(iter(grain.MapDataset.source(source).to_iter_dataset(read))) as batches:
        yield from batches


@dataclasses.dataclass(frozen=True)
class _Batches:
    """Random access to batches, as grain asks for."""

    examples: dict[str, np.ndarray]
    indices: Callable[[int], np.ndarray]
    steps: range

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        chosen = self.indices(self.steps[int(i)])
        rows = np.maximum(chosen, 0)
        batch = {name: np.asarray(a[rows]) for name, a in self.examples.items()}
        for array in self.examples.values():
            release_pages(array)
        return batch | {"counted": chosen >= 0}


@functools.lru_cache(maxsize=64)
def _permutation(seed: int, stream: str, ids: tuple[int, ...], n: int, turn: int) -> np.ndarray:
    order = rng.numpy(seed, stream, *ids, turn).permutation(n).astype(np.int32)
    order.flags.writeable = False
    return order
