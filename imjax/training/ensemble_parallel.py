"""Ensemble members in parallel: the only module with `pmap`, and with `vmap` over members.

Everything else is written for one model. Members are arranged in chunks of `[device, member, ...]`: on an
accelerator a chunk holds several members per device and its function is `pmap(vmap(f))`; on CPU it holds one
per device (one core each), since `vmap` over members turns convolutions into slow grouped ones there, and the
chunks run in turn. The numbers are the same either way.

Where there are fewer members than devices, several devices may share the batch of each. The devices are then
a grid of (member, batch): each member's arrays are repeated along its row, and the images of a batch are
spread over the row. Functions remain those of a whole batch: XLA divides them, and exchanges between the
devices what a sum, a mean or a shift over the batch needs. Batch statistics, losses, random draws and
gradients are therefore those of one device, up to the rounding of sums that are added in another order.

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
"""Name of the axis that `pmap` maps: one place for a chunk's members after the other."""
BATCH_AXIS = "batch"
"""Name of the axis of devices that share a batch."""


def count_sharing_devices(members: int, batch: int, most: int = 0) -> int:
    """Devices that share each batch of a member: those that would be idle otherwise.

    Args:
        members: in all processes together.
        batch: images that have to be divided evenly; 0: any number, since the batch can be padded.
        most: `Config.devices_per_net`; 0: one on a CPU, elsewhere all.

    Returns:
        At least 1, a divisor of `batch`.
    """
    local = jax.local_devices()
    if not most and local[0].platform == "cpu":
        return 1
    each = max(1, len(local) // len(distributed.local_members(members)))
    limit = min(each, most or each)
    return max(n for n in range(1, limit + 1) if batch % n == 0)


class Members:
    """Placement of `count` members on devices.

    Args:
        count: number of members, >= 1, in all processes together.
        per_chunk: most members one device holds at once; 0 = one on CPU, all elsewhere.
        devices: those to use; default: all local ones, no more than there are members for this process.
        sequential: the members of a chunk run one after another inside the program (`lax.map`), not as one
            batch (`vmap`), so that their convolutions stay ungrouped.
        sharing: devices that share each batch of a member; more than 1 only with so many for every member of
            this process (`count_sharing_devices`).
    """

    def __init__(
        self,
        count: int,
        per_chunk: int = 0,
        devices: Sequence[jax.Device] | None = None,
        sequential: bool = False,
        sharing: int = 1,
    ):
        self.count = count
        self.sequential = sequential
        self.sharing = sharing
        self._own = distributed.local_members(count)
        own = len(self._own)
        self.devices = list(devices or jax.local_devices())[: own * sharing]
        if sharing > 1 and len(self.devices) < own * sharing:
            raise ValueError(f"{len(self.devices)} devices, expected {sharing} for each of {own} members")
        self._places = len(self.devices) // sharing
        share = -(-own // self._places)
        default = 1 if self.devices[0].platform == "cpu" else share
        self.per_device = min(per_chunk or default, share)
        self.width = self._places * self.per_device
        self.chunks = -(-own // self.width)
        # The same sharding as that of pmap's results, down to the name of the axis: otherwise the first step,
        # on placed arrays, and the second, on the first one's results, would be compiled separately.
        grid = np.array(self.devices)
        self._mesh = Mesh(grid, (DEVICE_AXIS,))
        if sharing > 1:
            self._mesh = Mesh(grid.reshape(self._places, sharing), (DEVICE_AXIS, BATCH_AXIS))
        self._sharding = NamedSharding(self._mesh, PartitionSpec(DEVICE_AXIS))
        self._batch_sharding = self._sharding
        if sharing > 1:
            self._batch_sharding = NamedSharding(self._mesh, PartitionSpec(DEVICE_AXIS, None, BATCH_AXIS))

    def _placement(self) -> tuple:
        return self.count, self.per_device, self.sequential, self.sharing, *self.devices

    def __eq__(self, other: object) -> bool:
        """By value, so that equally placed members share compiled programs."""
        return isinstance(other, Members) and self._placement() == other._placement()

    def __hash__(self) -> int:
        return hash(self._placement())

    def pad_batch(self, images: int) -> int:
        """The least number of images, not less than this, that the devices of a member share evenly."""
        return -(-images // self.sharing) * self.sharing

    def map(
        self,
        function: Callable,
        shared: Sequence[int] = (),
        donate: Sequence[int] = (),
        gives_batch: bool = False,
    ) -> Callable:
        """Lift a function of one member to all of them.

        Args:
            function: pure, of any trees.
            shared: positions of arguments that all members share, as `replicate` places them.
            donate: positions whose memory the result may reuse.
            gives_batch: whether every leaf of the result is `[b, ...]`, one entry for each image of a batch;
                it then stays spread over the devices of its member.

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
        if self.sharing > 1:
            mapped = self._share(inner, tuple(donate), gives_batch)
        else:
            mapped = jax.pmap(inner, DEVICE_AXIS, devices=self.devices, donate_argnums=tuple(donate))

        def run_chunks(*args):
            return [
                mapped(*(a if i in shared else a[chunk] for i, a in enumerate(args)))
                for chunk in range(self.chunks)
            ]

        return run_chunks

    def _share(self, inner: Callable, donate: tuple[int, ...], gives_batch: bool) -> Callable:
        """As `pmap` over the rows of the grid, each row dividing the batch of its member."""

        def call(*args):
            row = [jax.tree.map(lambda x: x[0], a) for a in args]
            return jax.tree.map(lambda x: x[None], inner(*row))

        spec = PartitionSpec(DEVICE_AXIS)
        # Manual over members only, which exchange nothing: along the batch the compiler divides the work by
        # where the arguments lie. Results are placed as the next call's arguments are.
        mapped = jax.shard_map(
            call, mesh=self._mesh, in_specs=spec, out_specs=spec, axis_names={DEVICE_AXIS}, check_vma=False
        )
        placed = self._batch_sharding if gives_batch else self._sharding
        return jax.jit(mapped, donate_argnums=donate, out_shardings=placed)

    def shard(self, tree: Tree) -> Chunks:
        """Numpy leaves or typed keys `[count, ...]` → chunks on the devices, padded by the last member."""
        return self._shard(tree, self._sharding)

    def shard_batch(self, tree: Tree) -> Chunks:
        """`shard` of leaves `[count, b, ...]`, b a multiple of `sharing`; each device gets its own images."""
        return self._shard(tree, self._batch_sharding)

    def _shard(self, tree: Tree, sharding: NamedSharding) -> Chunks:
        slots = self._own[np.minimum(np.arange(self.chunks * self.width), len(self._own) - 1)]
        shape = (self.chunks, self._places, self.per_device)

        def arrange(leaf):
            leaf = (leaf if _is_key(leaf) else np.asarray(leaf))[slots]
            return leaf.reshape(*shape, *leaf.shape[1:])

        arranged = jax.tree.map(arrange, tree)
        return [
            _place(jax.tree.map(lambda leaf: leaf[chunk], arranged), sharding)  # noqa: B023
            for chunk in range(self.chunks)
        ]

    def replicate(self, tree: Tree) -> Tree:
        """One copy of the tree per device, `[device, ...]`, for shared arguments."""
        copies = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (self._places, *np.shape(leaf))), tree)
        return _place(copies, self._sharding)

    def gather(self, chunks: Chunks) -> Tree:
        """Chunks → numpy leaves `[count, ...]` without padding; every process must call it."""

        def concatenate(*leaves):
            arrays = [np.asarray(leaf) for leaf in leaves]
            return np.concatenate([array.reshape(-1, *array.shape[2:]) for array in arrays])[: len(self._own)]

        own = jax.tree.map(concatenate, *chunks)
        # Processes with fewer members pad, so that all have equal shapes; the padding comes last.
        return jax.tree.map(lambda leaf: leaf[: self.count], distributed.gather(own))


def _place(tree: Tree, sharding: NamedSharding) -> Tree:
    return jax.device_put(tree, jax.tree.map(lambda _: sharding, tree))


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
