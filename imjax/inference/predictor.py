"""What a run's nets say of images: labels, votes, probabilities. The one way of asking them.

Training measures its candidates with it on packed sets; `imjax.predict` asks it about images that come one
by one. All of it goes through `training.apply_nets`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from imjax.config.schema import Mask, Model
from imjax.data.spec import DatasetSpec, LabelKind
from imjax.inference import volume_windows
from imjax.methods.generational.inconsistency_masks import consensus
from imjax.ops import ensemble
from imjax.ops.batched_map import map_images
from imjax.training import apply_nets, memory
from imjax.training.data_loader import EnsembleLoader
from imjax.training.ensemble_parallel import Members, place_members


@dataclasses.dataclass(frozen=True)
class Predictor:
    """What a run's settings say about asking its nets; variables are numpy leaves `[member, ...]`."""

    spec: DatasetSpec
    model: Model
    mask: Mask
    batch: int
    """Images per call, `Config.eval_batch_size`."""
    nets_per_device: int = 0
    member_execution: str = "auto"
    max_device_dataset_mib: int = 0
    """See `Config`."""
    patch: tuple[int, ...] = ()
    overlap: float = 0.5
    """Of the windows through which volumes go, see `Joint`."""

    def members(self, count: int, need: Callable[[], int]) -> Members:
        """`count` members on this machine's devices, in chunks that fit a device's memory.

        Args:
            count: members.
            need: bytes of one, see `training.memory`.
        """
        chunk = self.nets_per_device or memory.members_that_fit(
            need, shared=self.max_device_dataset_mib << 20
        )
        return place_members(count, chunk, self.member_execution == "sequential")

    def _asked(self, net: nn.Module, systems: Sequence[Any], shape: Sequence[int], batch: int) -> Members:
        """Members of whom each is a system of nets, asked about a batch of uint8 `shape`."""
        images = {"image": jax.ShapeDtypeStruct((batch, *shape), jnp.uint8)}
        asking = functools.partial(_mean, net, self.spec.kind)
        need = memory.inference_memory(asking, tuple(systems), images)
        return self.members(jax.tree.leaves(systems)[0].shape[0], need)

    def source(self, examples: dict[str, np.ndarray], members: Members) -> EnsembleLoader:
        """Examples for members, resident where they fit."""
        return EnsembleLoader(examples, members, self.max_device_dataset_mib)

    def labels(self, net: nn.Module, variables: Any, images: np.ndarray) -> np.ndarray:
        """Labels that nets give to images.

        Args:
            net: the module.
            variables: of the nets.
            images: uint8 `[n, h, w, c]`, or volumes `[n, d, h, w, c]`, which go through `volume_windows`.

        Returns:
            uint8 `[member, n, h, w]` class indices or 0/1, multilabel `[member, n, h, w, k]`; of volumes with
            `d` before `h`.
        """
        if self.spec.dims == 3:
            return self._through_windows(net, [variables], images)
        members = self._asked(net, [variables], images.shape[1:], self.batch)
        program, source = _labeling(members, net, self.spec.kind), self.source({"image": images}, members)
        return apply_nets.per_image(members, program, members.shard(variables), source, self.batch)

    def voted(self, net: nn.Module, systems: Sequence[Any], images: np.ndarray) -> np.ndarray:
        """Labels by the mean probability of the nets of each system.

        Args:
            net: the module.
            systems: variables of each system's first net, second net and so on, numpy leaves `[system, ...]`.
            images: uint8 `[n, h, w, c]` or `[n, d, h, w, c]`.

        Returns:
            As `labels`, `[system, n, ...]`.
        """
        if self.spec.dims == 3:
            return self._through_windows(net, systems, images)
        members = self._asked(net, systems, images.shape[1:], self.batch)
        program, source = _voting(members, net, self.spec.kind), self.source({"image": images}, members)
        return apply_nets.per_image(members, program, members.shard(tuple(systems)), source, self.batch)

    def probabilities(
        self, net: nn.Module, variables: Any, images: Iterable[np.ndarray], size: tuple[int, int]
    ) -> Iterator[np.ndarray]:
        """Probabilities that nets give to images as these come.

        Args:
            net: the module.
            variables: of the nets.
            images: uint8 `[h, w, c]`, all of one shape.
            size: their height and width.

        Yields:
            float32 `[member, h, w, k]` per image, in order.
        """
        # A net by itself is a system of one.
        members = self._asked(net, [variables], (*size, self.spec.channels), self.batch)
        program = _saying(members, net, self.spec.kind)
        return apply_nets.stream(members, program, members.shard((variables,)), images, self.batch)

    def inconsistent_pixels(self, labels: np.ndarray) -> float:
        """Mean size of the inconsistency mask of members' labels `[member, n, ...]` by the run's settings.

        Of volumes, voxels of a whole one; its slices are taken one by one, as morphology acts in their plane.
        """
        slices = 1
        if self.spec.dims == 3:
            slices = labels.shape[2]
            labels = labels.reshape(len(labels), -1, *labels.shape[3:])
        found = map_images(_size, np.moveaxis(labels, 0, 1), spec=self.spec, mask=self.mask)
        return slices * float(found.mean())

    def _through_windows(self, net: nn.Module, systems: Sequence[Any], images: np.ndarray) -> np.ndarray:
        """`voted` of volumes; a net by itself is a system of one."""
        kind, shape = self.spec.kind, images.shape[1:-1]
        where = volume_windows.places(shape, self.patch or shape, self.overlap)
        batch = min(self.batch, len(where))
        members = self._asked(net, systems, (*(self.patch or shape), images.shape[-1]), batch)
        program = _saying(members, net, kind)
        harden = functools.partial(ensemble.probabilities_to_label, kind)
        variables = members.shard(tuple(systems))
        return volume_windows.labels(
            members, program, variables, images, where, batch, lambda said: harden(jnp.asarray(said))
        )


@functools.lru_cache(maxsize=32)
def _labeling(members: Members, net: nn.Module, kind: LabelKind) -> Callable:
    def function(variables, batch):
        return ensemble.label_of_logits(kind, net.apply(variables, batch["image"]))

    return members.map(function)


@functools.lru_cache(maxsize=32)
def _saying(members: Members, net: nn.Module, kind: LabelKind) -> Callable:
    """Mean probability of the nets of a system."""
    return members.map(functools.partial(_mean, net, kind))


@functools.lru_cache(maxsize=32)
def _voting(members: Members, net: nn.Module, kind: LabelKind) -> Callable:
    """The label of that mean."""

    def function(systems, batch):
        return jax.vmap(functools.partial(ensemble.probabilities_to_label, kind))(
            _mean(net, kind, systems, batch)
        )

    return members.map(function)


def _mean(net: nn.Module, kind: LabelKind, systems: Sequence[Any], batch: dict[str, jax.Array]) -> jax.Array:
    said = [ensemble.probabilities(kind, net.apply(one, batch["image"])) for one in systems]
    return jnp.stack(said).mean(0)


def _size(labels: jax.Array, *, spec: DatasetSpec, mask: Mask) -> jax.Array:
    return consensus(spec, mask, labels).size
