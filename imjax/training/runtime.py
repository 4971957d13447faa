"""Where and in what portions nets run: a stage gives a function of one net, and gets arrays of all nets.

Memory, chunks of members, placement on devices and the way back are hidden here. Training evaluates with the
same passes over a set.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, overload

import jax
import numpy as np

from imjax.config.schema import Config
from imjax.ops.batched_map import one_ahead
from imjax.training import memory
from imjax.training.data_loader import EnsembleLoader, Examples, PairedLoader
from imjax.training.ensemble_parallel import Chunks, Members, count_sharing_devices

Tree = Any
NetFunction = Callable[[Tree, dict[str, jax.Array]], Tree]
"""(variables of one member, batch) → leaves `[b, ...]`. Equal functions share compiled programs, so this is a
frozen dataclass with `__call__`, or a function of a module."""


@dataclasses.dataclass(frozen=True)
class Runtime:
    """How nets run on this machine; none of it changes what they give."""

    batch_size: int
    """Examples per call, see `Config.eval_batch_size`."""
    nets_per_device: int = 0
    devices_per_net: int = 0
    member_execution: str = "auto"
    max_device_dataset_mib: int = 0
    on_nan: str = "stop"
    """See `Config`, as the four above."""

    @classmethod
    def of(cls, config: Config) -> Runtime:
        """The settings of a configuration."""
        return cls(
            config.eval_batch_size, config.nets_per_device, config.devices_per_net,
            config.member_execution, config.max_device_dataset_mib, config.on_nan,
        )  # fmt: skip

    def place(self, count: int, need: Callable[[], int], batch: int = 0) -> Members:
        """`count` members on this machine's devices, in chunks that fit a device's memory.

        Args:
            count: members.
            need: bytes of one, see `training.memory`.
            batch: images that devices with a common member have to divide evenly; 0: any number.
        """
        sharing = count_sharing_devices(count, batch, self.devices_per_net)
        if sharing > 1:
            # No device has more than a part of one member.
            return Members(count, 1, sharing=sharing)
        chunk = self.nets_per_device or memory.members_that_fit(
            need, shared=self.max_device_dataset_mib << 20
        )
        return Members(count, chunk, sequential=self.member_execution == "sequential")

    def describe_sharing(self, members: Members) -> str:
        """A sentence for the log on the devices of each batch; empty where one device has a whole batch."""
        idle = count_sharing_devices(members.count, 0, self.devices_per_net)
        if idle == 1:
            return ""
        if members.sharing == idle:
            return f"{idle} devices share each batch of a network"
        who = f"{members.sharing} of {idle} devices share" if members.sharing > 1 else f"1 of {idle} has"
        return f"{who} each batch of a network: its images cannot be divided evenly among more"

    @overload
    def load(self, examples: Examples, members: Members) -> EnsembleLoader: ...

    @overload
    def load(self, examples: dict[str, Examples], members: Members) -> PairedLoader: ...

    def load(self, examples: Any, members: Members) -> EnsembleLoader | PairedLoader:
        """Examples for members, on the device where they fit; several sets by name share every batch."""
        if is_paired(examples):
            return PairedLoader({name: self._load(part, members) for name, part in examples.items()})
        return self._load(examples, members)

    def apply(
        self,
        function: NetFunction,
        variables: Tree,
        examples: Examples,
        aggregate: Callable[[Tree], Tree] | None = None,
    ) -> Tree:
        """Run a function of one member over a whole set, for all members.

        Args:
            function: what each member does with a batch.
            variables: of the members, numpy leaves `[member, ...]`.
            examples: the set, leaves `[n, ...]`.
            aggregate: joins the members' results for one example, leaves `[member, ...]` → leaves `[...]`,
                batch by batch: probabilities of a whole set would fit no memory.

        Returns:
            numpy leaves `[member, n, ...]`, with `aggregate` `[n, ...]`.
        """
        batch = min(self.batch_size, len(next(iter(examples.values()))))
        need = memory.inference_memory(function, variables, memory.shapes(examples, batch))
        members = self.place(_count(variables), need)
        passes = sweep(members, _program(members, function), members.shard(variables),
                       self._load(examples, members), batch)  # fmt: skip
        join = _aggregation(aggregate) if aggregate else None
        # Examples are the second axis of what members give, and the first of what they give together.
        axis = 0 if join else 1
        parts = [_first(join(part) if join else part, counted, axis) for part, counted in passes]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis), *parts)

    def stream(
        self, function: NetFunction, variables: Tree, images: Iterable[np.ndarray], shape: tuple[int, ...]
    ) -> Iterator[Tree]:
        """Run a function of one member over images that come one by one: their number does not matter.

        All batches have one shape, so that one program is compiled; the last is padded.

        Args:
            function: what each member does with a batch.
            variables: of the members, numpy leaves `[member, ...]`.
            images: uint8 of that shape; at most two batches are taken before the first result.
            shape: of an image.

        Yields:
            The result per image, in order, numpy leaves `[member, ...]`.
        """
        batch = {"image": jax.ShapeDtypeStruct((self.batch_size, *shape), np.uint8)}
        members = self.place(_count(variables), memory.inference_memory(function, variables, batch))
        return stream(members, _program(members, function), members.shard(variables), images, self.batch_size)

    def _load(self, examples: Examples, members: Members) -> EnsembleLoader:
        return EnsembleLoader(examples, members, self.max_device_dataset_mib)


def is_paired(examples: Examples | dict[str, Examples]) -> bool:
    """Whether these are several sets that share every batch."""
    return all(isinstance(part, dict) for part in examples.values())


def sweep(
    members: Members, mapped: Callable, variables: Chunks, source: EnsembleLoader, batch: int
) -> Iterator[tuple[Tree, int]]:
    """Run a mapped function of (variables, batch) over the set in order.

    Args:
        members: as the function was mapped by.
        mapped: `members.map(function)`.
        variables: per member.
        source: the set.
        batch: examples per call, padded to what the devices of a member share evenly.

    Yields:
        The result per batch as numpy leaves `[member, ...]`, and how many of its examples count.
    """
    batch = members.pad_batch(batch)
    indices, steps = source.in_order(batch)
    batches = zip(steps, source.batches(indices, steps), strict=True)
    return _collected(
        members,
        ((mapped(variables, data), min(batch, source.count - step * batch)) for step, data in batches),
    )


def stream(
    members: Members, mapped: Callable, variables: Chunks, images: Iterable[np.ndarray], batch: int
) -> Iterator[Tree]:
    """`Runtime.stream` of a mapped function on placed variables; fewer images per call if there are fewer."""
    remaining = iter(images)

    def dispatched():
        width = 0
        while group := list(itertools.islice(remaining, batch)):
            width = width or members.pad_batch(len(group))
            padded = np.stack(group + group[-1:] * (width - len(group)))
            same = np.broadcast_to(padded, (members.count, *padded.shape))
            yield mapped(variables, members.shard_batch({"image": same})), len(group)

    for result, counted in _collected(members, dispatched()):
        for i in range(counted):
            yield jax.tree.map(lambda leaf: leaf[:, i], result)  # noqa: B023


def mean(members: Members, mapped: Callable, variables: Chunks, source: EnsembleLoader, batch: int) -> Tree:
    """`sweep` of a function with scalar leaves, averaged over batches by their size: leaves `[member]`."""
    batch = min(batch, source.count)
    total, weight = None, 0
    for part, counted in sweep(members, mapped, variables, source, batch):
        part = jax.tree.map(lambda leaf: leaf.astype(np.float64) * counted, part)  # noqa: B023
        total = part if total is None else jax.tree.map(np.add, total, part)
        weight += counted
    return jax.tree.map(lambda leaf: leaf / weight, total)


def _collected(members: Members, dispatched: Iterable[tuple[Chunks, int]]) -> Iterator[tuple[Tree, int]]:
    """Results on the host, one batch ahead."""
    return ((members.gather(result), counted) for result, counted in one_ahead(dispatched))


def _first(tree: Tree, count: int, axis: int) -> Tree:
    """Numpy leaves without the examples that only fill the last batch."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[(slice(None),) * axis + (slice(count),)], tree)


def _count(variables: Tree) -> int:
    return jax.tree.leaves(variables)[0].shape[0]


@functools.lru_cache(maxsize=64)
def _program(members: Members, function: NetFunction) -> Callable:
    return members.map(function, gives_batch=True)


@functools.lru_cache(maxsize=32)
def _aggregation(aggregate: Callable[[Tree], Tree]) -> Callable:
    return jax.jit(jax.vmap(aggregate, in_axes=1))
