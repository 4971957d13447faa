"""Ensemble members in parallel: the only module with `pmap`, and with `vmap` over members.

Everything else is written for one model. Members are arranged in chunks of `[device, member, ...]`: on an
accelerator a chunk holds several members per device and its function is `pmap(vmap(f))`; on CPU it holds one
per device (one core each), since `vmap` over members turns convolutions into slow grouped ones there, and the
chunks run in turn. The numbers are the same either way.

With several processes each trains its share of the members on its own devices; `gather` returns all members
to every process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from imjax.training import distributed

Tree = Any
Chunks = list[Tree]
"""One tree per chunk; leaves `[device, member, ...]`."""
DEVICE_AXIS = "device"
"""Name of the axis that `pmap` maps."""


class Members:
    """Placement of `count` members on devices.

    Args:
        count: number of members, >= 1, in all processes together.
        per_chunk: most members one device holds at once; 0 = one on CPU, all elsewhere.
        devices: those to use; default: all local ones, no more than there are members for this process.
        sequential: the members of a chunk run one after another inside the program (`lax.map`), not as one
            batch (`vmap`), so that their convolutions stay ungrouped.
    """

    def __init__(
        self,
        count: int,
        per_chunk: int = 0,
        devices: Sequence[jax.Device] | None = None,
        sequential: bool = False,
    ):
        self.count = count
        self.sequential = sequential
        self._own = distributed.local_members(count)
        own = len(self._own)
        self.devices = list(devices or jax.local_devices())[:own]
        share = -(-own // len(self.devices))
        default = 1 if self.devices[0].platform == "cpu" else share
        self.per_device = min(per_chunk or default, share)
        self.width = len(self.devices) * self.per_device
        self.chunks = -(-own // self.width)
        # The same sharding as that of pmap's results, down to the name of the axis: otherwise the first step,
        # on placed arrays, and the second, on the first one's results, would be compiled separately.
        mesh = Mesh(np.array(self.devices), (DEVICE_AXIS,))
        self._sharding = NamedSharding(mesh, PartitionSpec(DEVICE_AXIS))

    def _placement(self) -> tuple:
        return self.count, self.per_device, self.sequential, *self.devices

    def __eq__(self, other: object) -> bool:
        """By value, so that equally placed members share compiled programs."""
        return isinstance(other, Members) and self._placement() == other._placement()

    def __hash__(self) -> int:
        return hash(self._placement())

    def map(self, function: Callable, shared: Sequence[int] = (), donate: Sequence[int] = ()) -> Callable:
        """Lift a function of one member to all of them.

        Args:
            function: pure, of any trees.
            shared: positions of arguments that all members share, as `replicate` places them.
            donate: positions whose memory the result may reuse.

        Returns:
            A function of the same arguments, the unshared ones as `Chunks`, with `Chunks` as result.
        """
        if self.per_device == 1:
            inner = _without_member_axis(function, frozenset(shared))
        elif self.sequential:
            inner = _sequentially(function, frozenset(shared))
        else:
            axes = lambda n: [None if i in shared else 0 for i in range(n)]  # noqa: E731
            inner = lambda *args: jax.vmap(function, in_axes=axes(len(args)))(*args)  # noqa: E731
        mapped = jax.pmap(inner, DEVICE_AXIS, devices=self.devices, donate_argnums=tuple(donate))

        def run_chunks(*args):
            return [
                mapped(*(a if i in shared else a[chunk] for i, a in enumerate(args)))
                for chunk in range(self.chunks)
            ]

        return run_chunks

    def shard(self, tree: Tree) -> Chunks:
        """Numpy leaves or typed keys `[count, ...]` → chunks on the devices, padded by the last member."""
        slots = self._own[np.minimum(np.arange(self.chunks * self.width), len(self._own) - 1)]
        shape = (self.chunks, len(self.devices), self.per_device)

        def arrange(leaf):
            leaf = (leaf if _is_key(leaf) else np.asarray(leaf))[slots]
            return leaf.reshape(*shape, *leaf.shape[1:])

        arranged = jax.tree.map(arrange, tree)
        return [
            self._place(jax.tree.map(lambda leaf: leaf[chunk], arranged))  # noqa: B023
            for chunk in range(self.chunks)
        ]

    def replicate(self, tree: Tree) -> Tree:
        """One copy of the tree per device, `[device, ...]`, for shared arguments."""
        copies = len(self.devices)
        return self._place(jax.tree.map(lambda leaf: np.broadcast_to(leaf, (copies, *np.shape(leaf))), tree))

    def gather(self, chunks: Chunks) -> Tree:
        """Chunks → numpy leaves `[count, ...]` without padding; every process must call it."""

        def concatenate(*leaves):
            arrays = [np.asarray(leaf) for leaf in leaves]
            return np.concatenate([array.reshape(-1, *array.shape[2:]) for array in arrays])[: len(self._own)]

        own = jax.tree.map(concatenate, *chunks)
        # Processes with fewer members pad, so that all have equal shapes; the padding comes last.
        return jax.tree.map(lambda leaf: leaf[: self.count], distributed.gather(own))

    def _place(self, tree: Tree) -> Tree:
        return jax.device_put(tree, jax.tree.map(lambda _: self._sharding, tree))


def _is_key(leaf: Any) -> bool:
    """Whether this is an array of typed keys, which numpy cannot hold."""
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _without_member_axis(function: Callable, shared: frozenset[int]) -> Callable:
    """Drop and restore the member axis of length 1, so that no batching rule changes the function."""

    def call(*args):
        bare = [a if i in shared else jax.tree.map(lambda x: x[0], a) for i, a in enumerate(args)]
        return jax.tree.map(lambda x: x[None], function(*bare))

    return call


def _sequentially(function: Callable, shared: frozenset[int]) -> Callable:
    """Map over the member axis by a loop inside the program: one dispatch, and no batching rule either."""

    def call(*args):
        own = [a for i, a in enumerate(args) if i not in shared]

        def of_member(member):
            parts = iter(member)
            return function(*(a if i in shared else next(parts) for i, a in enumerate(args)))

        return jax.lax.map(of_member, own)

    return call
