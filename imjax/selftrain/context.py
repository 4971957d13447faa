"""What every stage works with: configuration, data, folders, and the nets of earlier stages."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from imjax.config import Config, Mask
from imjax.data.pack import Packed
from imjax.data.spec import DatasetSpec
from imjax.engine import predict
from imjax.engine.checkpoints import load_nets
from imjax.engine.images import over_images
from imjax.engine.members import Members
from imjax.engine.source import Source
from imjax.models.evalnet import EvalNet
from imjax.models.unet import UNet
from imjax.ops import inconsistency
from imjax.selftrain.store import Store, read_json


@dataclasses.dataclass(frozen=True)
class Context:
    """One run."""

    config: Config
    packed: Packed
    store: Store

    def members(self, count: int) -> Members:
        """`count` members on this machine's devices."""
        return Members(count, self.config.members_per_chunk)

    def source(self, examples: dict[str, np.ndarray], members: Members) -> Source:
        """Examples for members, resident where they fit."""
        return Source(examples, members, self.config.resident_mib)

    def unet(self, alpha: float) -> UNet:
        """The segmentation net of that width."""
        m = self.config.model
        return UNet(self.packed.spec.outputs, alpha, m.dropout, m.momentum, compute_type(m.dtype))

    def evalnet(self, alpha: float) -> EvalNet:
        """The scoring net of that width."""
        m, spec = self.config.model, self.packed.spec
        return EvalNet(spec.kind, spec.outputs, alpha, m.momentum, compute_type(m.dtype))

    def ranked(self, stage: str) -> list[int]:
        """Members of a finished training stage, best on val first."""
        return read_json(self.store.folder(stage) / "train.json")["ranked"]

    def best_nets(self, stage: str, count: int) -> Any:
        """Variables of the best `count` members of a finished stage, numpy leaves `[count, ...]`."""
        chosen = self.ranked(stage)[:count]
        return jax.tree.map(lambda leaf: leaf[np.array(chosen)], load_nets(self.store.folder(stage) / "nets"))

    def predicted_labels(self, net: nn.Module, variables: Any, images: np.ndarray) -> np.ndarray:
        """Labels that nets give to images.

        Args:
            net: the module.
            variables: numpy leaves `[member, ...]`.
            images: uint8 `[n, h, w, c]`.

        Returns:
            uint8 `[member, n, h, w]` class indices or 0/1, multilabel `[member, n, h, w, k]`.
        """
        kind = self.packed.spec.kind
        members = self.members(jax.tree.leaves(variables)[0].shape[0])
        source = self.source({"image": images}, members)

        def function(v, batch):
            return to_labels(kind, net.apply(v, batch["image"]))

        batch = self.config.predict_batch
        return predict.per_image(members, function, members.spread(variables), source, batch)

    def consensus(self, labels: np.ndarray) -> inconsistency.Pair:
        """Consensus of members' labels `[member, n, ...]` by the run's mask settings: leaves `[n, ...]`."""
        return over_images(
            _consensus, np.moveaxis(labels, 0, 1), spec=self.packed.spec, mask=self.config.mask
        )


def _consensus(members: jax.Array, *, spec: DatasetSpec, mask: Mask) -> inconsistency.Pair:
    return inconsistency.mask_pair(
        spec.kind, members, classes=max(spec.outputs, 2), erode=mask.erode, dilate=mask.dilate,
        dilate_channels=spec.dilate_channels, need_same_classes=mask.same_classes,
    )  # fmt: skip


def to_labels(kind: str, logits: jax.Array) -> jax.Array:
    """Logits `[..., k]` → uint8 labels (method.md 1.3): argmax; p > 0.5 (binary); p ≥ 0.5 (multilabel)."""
    if kind == "multiclass":
        return jnp.argmax(logits, -1).astype(jnp.uint8)
    if kind == "binary":
        return (logits[..., 0] > 0).astype(jnp.uint8)
    return (logits >= 0).astype(jnp.uint8)


def compute_type(name: str) -> Any:
    """`auto` → bfloat16 on accelerators, float32 on CPU; else the named type."""
    if name == "auto":
        name = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(name)
