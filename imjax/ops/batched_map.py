"""Map a function of one image over a whole dataset: compiled once, in batches of one shape."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

import jax
import numpy as np


def map_images(
    function: Callable,
    *arrays: np.ndarray | jax.Array,
    shared: tuple = (),
    batch: int = 64,
    **static: Hashable,
) -> Any:
    """Map a function of one image over arrays with a leading image axis, on the default device.

    Compiled programs are kept per function and static values, so pass functions of modules, not closures.

    Args:
        function: pure, `(*shared, *rows, **static)` → a tree of arrays.
        arrays: `[n, ...]` each, numpy or typed keys; n may be 0.
        shared: trees that every image gets as they are, traced.
        batch: images per call; the last call is padded, so that one shape is compiled.
        static: keyword arguments that the program is compiled for.

    Returns:
        The function's tree with numpy leaves `[n, ...]`.
    """
    mapped = _mapped(function, tuple(sorted(static.items())))
    n = len(arrays[0])
    if not n:
        empty = jax.eval_shape(mapped, shared, arrays)
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), empty)
    batch = min(batch, n)
    calls = (
        (start, mapped(shared, tuple(_rows(a, start, batch) for a in arrays))) for start in range(0, n, batch)
    )
    outputs = None
    for start, result in one_ahead(calls):
        if outputs is None:
            outputs = jax.tree.map(lambda leaf: np.empty((n, *leaf.shape[1:]), leaf.dtype), result)
        for output, leaf in zip(jax.tree.leaves(outputs), jax.tree.leaves(result), strict=True):
            output[start : start + batch] = np.asarray(leaf)[: n - start]
    return outputs


def one_ahead(calls: Iterable[Any]) -> Iterator[Any]:
    """Yield each result after the next call was dispatched: the devices work while it is copied."""
    return (last for last, _ in itertools.pairwise(itertools.chain(calls, [None])))


def _rows(array: np.ndarray | jax.Array, start: int, batch: int) -> np.ndarray | jax.Array:
    """`batch` rows from `start` on, padded by the last row."""
    if start + batch <= len(array):
        return array[start : start + batch]
    return array[np.minimum(np.arange(start, start + batch), len(array) - 1)]


@functools.lru_cache(maxsize=128)
def _mapped(function: Callable, static: tuple[tuple[str, Hashable], ...]) -> Callable:
    bound = functools.partial(function, **dict(static))
    return jax.jit(lambda shared, arrays: jax.vmap(lambda *rows: bound(*shared, *rows))(*arrays))
