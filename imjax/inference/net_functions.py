"""What nets are asked, as values: equal ones share compiled programs, whoever makes them.

Each is a function of one member for `training.runtime`: (variables, batch) → leaves `[b, ...]`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from imjax.config.schema import Ensemble, Mask
from imjax.data.spec import DatasetSpec, LabelKind
from imjax.methods.generational.base import PseudoLabeler
from imjax.methods.registry import GENERATIONAL_METHODS
from imjax.models.network import Network
from imjax.ops import ensemble
from imjax.ops.inconsistency import PseudoLabel

Batch = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class NetLabels:
    """Label of a single net, from its logits: uint8 `[b, ...]`."""

    net: Network
    kind: LabelKind

    def __call__(self, variables: Any, batch: Batch) -> jax.Array:
        """See `NetFunction`."""
        return ensemble.label_of_logits(self.kind, self.net.apply(variables, batch["image"]))


@dataclasses.dataclass(frozen=True)
class EnsembleProbabilities:
    """Mean probability of the nets of an ensemble: float32 `[b, ..., k]`."""

    net: Network
    kind: LabelKind

    def __call__(self, nets: Sequence[Any], batch: Batch) -> jax.Array:
        """See `NetFunction`; `nets` are the variables of each net."""
        outputs = (self.net.apply(variables, batch["image"]) for variables in nets)
        return jnp.stack([ensemble.probabilities(self.kind, logits) for logits in outputs]).mean(0)


@dataclasses.dataclass(frozen=True)
class EnsembleLabels:
    """Label by the mean probability of the nets of an ensemble: uint8 `[b, ...]`."""

    net: Network
    kind: LabelKind

    def __call__(self, nets: Sequence[Any], batch: Batch) -> jax.Array:
        """See `NetFunction`; `nets` are the variables of each net."""
        probabilities = EnsembleProbabilities(self.net, self.kind)(nets, batch)
        return jax.vmap(functools.partial(ensemble.probabilities_to_label, self.kind))(probabilities)


@dataclasses.dataclass(frozen=True)
class Labeling:
    """How a generational method labels unlabeled images."""

    method: str
    spec: DatasetSpec
    ensemble: Ensemble
    mask: Mask

    @property
    def labeler(self) -> PseudoLabeler:
        """The method's functions."""
        make_labeler = GENERATIONAL_METHODS[self.method].labeler
        assert make_labeler is not None, f"{self.method} has EvalNets choose"
        return make_labeler(self.spec, self.ensemble, self.mask)


@dataclasses.dataclass(frozen=True)
class LabelingPredictions:
    """What a net predicts for a labeling; the batch has `image` and `key` (uint32 data of a key)."""

    net: Network
    labeling: Labeling

    def __call__(self, variables: Any, batch: Batch) -> Any:
        """See `NetFunction`."""
        batch = batch | {"key": jax.random.wrap_key_data(batch["key"])}
        return self.labeling.labeler.predict(functools.partial(self.net.apply, variables), batch)


@dataclasses.dataclass(frozen=True)
class LabelingAggregate:
    """The nets' predictions for one image → its pseudo-label."""

    labeling: Labeling

    def __call__(self, predictions: Any) -> PseudoLabel:
        """`predictions` have leaves `[net, ...]`."""
        return self.labeling.labeler.aggregate(predictions)
