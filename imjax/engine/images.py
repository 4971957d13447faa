"""A function of one image over a whole set: compiled once, mapped over batches of one shape."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np


def over_images(
    function: Callable, *arrays: np.ndarray, shared: tuple = (), batch: int = 64, **static: Hashable
) -> Any:
    """Run a function of one image over arrays with a leading image axis, on the default device.

    Compiled programs are kept per function and static values, so pass functions of modules, not closures.

    Args:
        function: pure, `(*shared, *rows, **static)` → a tree of arrays.
        arrays: `[n, ...]` each; n may be 0.
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
    parts = []
    for start in range(0, n, batch):
        chosen = np.minimum(np.arange(start, start + batch), n - 1)
        result = mapped(shared, tuple(a[chosen] for a in arrays))
        parts.append(jax.tree.map(lambda leaf: np.asarray(leaf)[: n - start], result))  # noqa: B023
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@functools.lru_cache(maxsize=128)
def _mapped(function: Callable, static: tuple[tuple[str, Hashable], ...]) -> Callable:
    bound = functools.partial(function, **dict(static))
    return jax.jit(lambda shared, arrays: jax.vmap(lambda *rows: bound(*shared, *rows))(*arrays))
