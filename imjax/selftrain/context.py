"""What every stage works with: configuration, data, folders, and the nets of earlier stages."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from imjax.config import Config, Mask
from imjax.data.pack import Packed
from imjax.data.spec import DatasetSpec, LabelKind
from imjax.engine import predict, windows
from imjax.engine.checkpoints import load_nets
from imjax.engine.images import over_images
from imjax.engine.members import Members, spread_over_devices
from imjax.engine.source import Source
from imjax.methods.base import Labeller
from imjax.methods.inconsistency_masks import consensus
from imjax.models.benchmark_unet import BenchmarkUNet
from imjax.models.evalnet import EvalNet
from imjax.models.unet import UNet
from imjax.ops import vote
from imjax.selftrain.store import Store, read_json


@dataclasses.dataclass(frozen=True)
class Context:
    """One run."""

    config: Config
    packed: Packed
    store: Store

    def members(self, count: int) -> Members:
        """`count` members on this machine's devices."""
        return spread_over_devices(count, self.config.members_per_chunk)

    def source(self, examples: dict[str, np.ndarray], members: Members) -> Source:
        """Examples for members, resident where they fit."""
        return Source(examples, members, self.config.resident_mib)

    def unet(self, alpha: float, auxiliaries: int = 0) -> nn.Module:
        """The backbone at that width, with so many auxiliary decoders."""
        m, outputs = self.config.model, self.packed.spec.outputs
        shared = {"auxiliaries": auxiliaries, "momentum": m.momentum, "dtype": compute_type(m.dtype)}
        if m.backbone == "benchmark":
            features = tuple(int(base * alpha) for base in m.features)
            return BenchmarkUNet(outputs, features, m.dropouts, self.packed.spec.dims, **shared)
        return UNet(outputs, alpha, m.dropout, **shared)

    def evalnet(self, alpha: float) -> EvalNet:
        """The scoring net of that width."""
        m, spec = self.config.model, self.packed.spec
        return EvalNet(spec.kind, spec.outputs, alpha, m.momentum, compute_type(m.dtype))

    def ranked(self, stage: str) -> list[int]:
        """Members of a finished training stage, best on val first."""
        return read_json(self.store.folder(stage) / "train.json")["ranked"]

    def best_nets(self, stage: str, count: int) -> Any:
        """Variables of the best `count` members of a finished stage (0: all), numpy leaves `[count, ...]`."""
        chosen = self.ranked(stage)[: count or None]
        return jax.tree.map(lambda leaf: leaf[np.array(chosen)], load_nets(self.store.folder(stage) / "nets"))

    def predicted_labels(self, net: nn.Module, variables: Any, images: np.ndarray) -> np.ndarray:
        """Labels that nets give to images.

        Args:
            net: the module.
            variables: numpy leaves `[member, ...]`.
            images: uint8 `[n, h, w, c]`, or volumes `[n, d, h, w, c]`, which go through `engine.windows`.

        Returns:
            uint8 `[member, n, h, w]` class indices or 0/1, multilabel `[member, n, h, w, k]`; of volumes with
            `d` before `h`.
        """
        kind = self.packed.spec.kind
        if self.packed.spec.dims == 3:
            return self._through_windows(net, [variables], images)
        members = self.members(jax.tree.leaves(variables)[0].shape[0])
        source, batch = self.source({"image": images}, members), self.config.predict_batch
        program = _labelling(members, net, kind)
        return predict.per_image(members, program, members.spread(variables), source, batch)

    def voted_labels(self, net: nn.Module, systems: Sequence[Any], images: np.ndarray) -> np.ndarray:
        """Labels by the mean probability of the nets of each system.

        Args:
            net: the module.
            systems: variables of each system's first net, second net and so on, numpy leaves `[system, ...]`.
            images: uint8 `[n, h, w, c]` or `[n, d, h, w, c]`.

        Returns:
            As `predicted_labels`, `[system, n, ...]`.
        """
        if self.packed.spec.dims == 3:
            return self._through_windows(net, systems, images)
        members = self.members(jax.tree.leaves(systems[0])[0].shape[0])
        source, batch = self.source({"image": images}, members), self.config.predict_batch
        program = _voting(members, net, self.packed.spec.kind)
        return predict.per_image(members, program, members.spread(tuple(systems)), source, batch)

    def _through_windows(self, net: nn.Module, systems: Sequence[Any], images: np.ndarray) -> np.ndarray:
        """`voted_labels` of volumes; a net by itself is a system of one."""
        kind, joint = self.packed.spec.kind, self.config.joint
        shape = images.shape[1:-1]
        where = windows.places(shape, joint.patch or shape, joint.predict_overlap)
        members = self.members(jax.tree.leaves(systems[0])[0].shape[0])
        program, batch = _saying(members, net, kind), min(self.config.predict_batch, len(where))
        harden = functools.partial(vote.harden, kind)
        variables = members.spread(tuple(systems))
        return windows.labels(
            members, program, variables, images, where, batch, lambda said: harden(jnp.asarray(said))
        )

    def inconsistent_pixels(self, labels: np.ndarray) -> float:
        """Mean size of the inconsistency mask of members' labels `[member, n, ...]` by the run's settings.

        Of volumes, voxels of a whole one; its slices are taken one by one, as morphology acts in their plane.
        """
        settings, slices = {"spec": self.packed.spec, "mask": self.config.mask}, 1
        if self.packed.spec.dims == 3:
            slices = labels.shape[2]
            labels = labels.reshape(len(labels), -1, *labels.shape[3:])
        return slices * float(over_images(_size, np.moveaxis(labels, 0, 1), **settings).mean())

    def label(self, labeller: Labeller, net: nn.Module, variables: Any, images: np.ndarray, key: jax.Array):
        """Pseudo-labels of images.

        Args:
            labeller: of the method.
            net: the module.
            variables: of the nets that label, numpy leaves `[net, ...]`.
            images: uint8 `[n, h, w, c]`.
            key: image i draws from its i-th fold.

        Returns:
            `inconsistency.Pair` with numpy leaves `[n, ...]`.
        """
        members = self.members(jax.tree.leaves(variables)[0].shape[0])
        keys = jax.random.key_data(jax.vmap(lambda i: jax.random.fold_in(key, i))(np.arange(len(images))))
        source = self.source({"image": images, "key": np.asarray(keys)}, members)
        look, agree = _looking(members, net, labeller)
        # The nets' verdicts are put together batch by batch: probabilities of a whole set fit no memory.
        batch = min(self.config.predict_batch, len(images))
        looked = predict.sweep(members, look, members.spread(variables), source, batch)
        parts = [jax.tree.map(lambda leaf: np.asarray(leaf)[:n], agree(seen)) for seen, n in looked]  # noqa: B023
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@functools.lru_cache(maxsize=32)
def _labelling(members: Members, net: nn.Module, kind: LabelKind) -> Callable:
    def function(variables, batch):
        return vote.label_of_logits(kind, net.apply(variables, batch["image"]))

    return members.map(function)


@functools.lru_cache(maxsize=32)
def _voting(members: Members, net: nn.Module, kind: LabelKind) -> Callable:
    def function(systems, batch):
        said = [vote.probabilities(kind, net.apply(one, batch["image"])) for one in systems]
        return jax.vmap(functools.partial(vote.soft, kind), in_axes=1)(jnp.stack(said))

    return members.map(function)


@functools.lru_cache(maxsize=32)
def _saying(members: Members, net: nn.Module, kind: LabelKind) -> Callable:
    """Mean probability of the nets of a system."""

    def function(systems, batch):
        said = [vote.probabilities(kind, net.apply(one, batch["image"])) for one in systems]
        return jnp.stack(said).mean(0)

    return members.map(function)


@functools.lru_cache(maxsize=32)
def _looking(members: Members, net: nn.Module, labeller: Labeller) -> tuple[Callable, Callable]:
    def look(variables, batch):
        return labeller.look(functools.partial(net.apply, variables), batch)

    return members.map(look), jax.jit(jax.vmap(labeller.agree, in_axes=1))


def _size(labels: jax.Array, *, spec: DatasetSpec, mask: Mask) -> jax.Array:
    return consensus(spec, mask, labels).size


def compute_type(name: str) -> Any:
    """`auto` → bfloat16 on accelerators, float32 on CPU; else the named type."""
    if name == "auto":
        name = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(name)
