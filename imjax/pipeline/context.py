"""What every stage works with: configuration, data, folders, and the nets of earlier stages."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from imjax.config.schema import Config
from imjax.data.pack import PackedDataset
from imjax.inference.predictor import Predictor
from imjax.json_io import read_json
from imjax.methods.generational.base import PseudoLabeler
from imjax.models.evalnet import EvalNet
from imjax.models.factory import create_backbone, create_evalnet
from imjax.pipeline.artifacts import ArtifactStore
from imjax.training import apply_nets, memory
from imjax.training.checkpoints import load_nets
from imjax.training.data_loader import EnsembleLoader
from imjax.training.ensemble_parallel import Members


@dataclasses.dataclass(frozen=True)
class Context:
    """One run."""

    config: Config
    packed: PackedDataset
    store: ArtifactStore

    @property
    def predictor(self) -> Predictor:
        """The run's settings, for asking its nets."""
        c = self.config
        return Predictor(
            self.packed.spec, c.model, c.mask, c.eval_batch_size, c.nets_per_device, c.member_execution,
            c.max_device_dataset_mib, c.joint.patch, c.joint.predict_overlap,
        )  # fmt: skip

    def members(self, count: int, need: Callable[[], int]) -> Members:
        """See `Predictor.members`."""
        return self.predictor.members(count, need)

    def source(self, examples: dict[str, np.ndarray], members: Members) -> EnsembleLoader:
        """See `Predictor.source`."""
        return self.predictor.source(examples, members)

    def unet(self, alpha: float, auxiliaries: int = 0) -> nn.Module:
        """The backbone at that width, see `factory.create_backbone`."""
        return create_backbone(self.config.model, self.packed.spec, alpha, auxiliaries)

    def evalnet(self, alpha: float) -> EvalNet:
        """The scoring net of that width."""
        return create_evalnet(self.config.model, self.packed.spec, alpha)

    def ranked(self, stage: str) -> list[int]:
        """Members of a finished training stage, best on val first, without those that were dropped."""
        return read_json(self.store.folder(stage) / "train.json")["ranked"]

    def best_nets(self, stage: str, count: int) -> Any:
        """Variables of the best `count` members of a finished stage (0: all), numpy leaves `[count, ...]`.

        There are fewer where members were dropped (`on_nan`).
        """
        chosen = self.ranked(stage)[: count or None]
        return jax.tree.map(lambda leaf: leaf[np.array(chosen)], load_nets(self.store.folder(stage) / "nets"))

    def predicted_labels(self, net: nn.Module, variables: Any, images: np.ndarray) -> np.ndarray:
        """See `Predictor.labels`."""
        return self.predictor.labels(net, variables, images)

    def voted_labels(self, net: nn.Module, systems: Sequence[Any], images: np.ndarray) -> np.ndarray:
        """See `Predictor.voted`."""
        return self.predictor.voted(net, systems, images)

    def inconsistent_pixels(self, labels: np.ndarray) -> float:
        """See `Predictor.inconsistent_pixels`."""
        return self.predictor.inconsistent_pixels(labels)

    def label(
        self, labeler: PseudoLabeler, net: nn.Module, variables: Any, images: np.ndarray, key: jax.Array
    ):
        """Pseudo-labels of images.

        Args:
            labeler: of the method.
            net: the module.
            variables: of the nets that label, numpy leaves `[net, ...]`.
            images: uint8 `[n, h, w, c]`.
            key: image i draws from its i-th fold.

        Returns:
            `inconsistency.PseudoLabel` with numpy leaves `[n, ...]`.
        """
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(np.arange(len(images)))
        # Raw bits: examples are numpy arrays, which cannot hold typed keys. `_look` wraps them again.
        examples = {"image": images, "key": np.asarray(jax.random.key_data(keys))}
        # The nets' verdicts are put together batch by batch: probabilities of a whole set fit no memory.
        batch = min(self.config.eval_batch_size, len(images))
        need = memory.inference_memory(_look(net, labeler), variables, memory.shapes(examples, batch))
        members = self.members(jax.tree.leaves(variables)[0].shape[0], need)
        source = self.source(examples, members)
        look, agree = _looking(members, net, labeler)
        looked = apply_nets.sweep(members, look, members.shard(variables), source, batch)
        parts = [jax.tree.map(lambda leaf: np.asarray(leaf)[:n], agree(seen)) for seen, n in looked]  # noqa: B023
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@functools.lru_cache(maxsize=32)
def _looking(members: Members, net: nn.Module, labeler: PseudoLabeler) -> tuple[Callable, Callable]:
    return members.map(_look(net, labeler)), jax.jit(jax.vmap(labeler.aggregate, in_axes=1))


def _look(net: nn.Module, labeler: PseudoLabeler) -> Callable:
    def look(variables, batch):
        batch = batch | {"key": jax.random.wrap_key_data(batch["key"])}
        return labeler.predict(functools.partial(net.apply, variables), batch)

    return look
