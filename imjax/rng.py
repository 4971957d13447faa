"""Random streams by name: a key is a function of what it is for, so that none is ever stored."""

from __future__ import annotations

import zlib

import jax
import numpy as np


def key(seed: int, stream: str, *ids: int) -> jax.Array:
    """JAX key of one stream, e.g. `key(seed, "augment", generation, member)`.

    Args:
        seed: the run's seed.
        stream: what the numbers are for; other names give independent numbers.
        ids: further indices (generation, member, step ...), each >= 0.
    """
    out = jax.random.fold_in(jax.random.key(seed), zlib.crc32(stream.encode()))
    for i in ids:
        out = jax.random.fold_in(out, i)
    return out


def numpy(seed: int, stream: str, *ids: int) -> np.random.Generator:
    """Host-side generator of one stream, the same on every platform; arguments as for `key`."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(stream.encode()), *ids])
    return np.random.Generator(np.random.Philox(sequence))
