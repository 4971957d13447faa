"""What a generational method is made of: switches, and how nets make pseudo-labels.

Vorndran & Roeck 2024, arXiv 2401.14387.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax

from imjax.config.schema import Ensemble, Mask, Model
from imjax.data.spec import DatasetSpec
from imjax.ops.inconsistency import PseudoLabel

Start = Literal["ldt", "aldt", "fdt"]
Copies = Literal["none", "one", "scored", "oracle"]
Batch = dict[str, jax.Array]
Apply = Callable[[jax.Array], jax.Array]
"""A net: images uint8 `[b, h, w, c]` → logits `[b, h, w, k]`."""


class PseudoLabeler(NamedTuple):
    """How nets make pseudo-labels: the prediction of each net, and what becomes of those of one image."""

    predict: Callable[[Apply, Batch], Any]
    """(net, batch of `image` and `key` `[b]`, a typed key per image) → tree of `[b, ...]`."""
    aggregate: Callable[[Any], PseudoLabel]
    """Predictions `[net, ...]` for one image → its pseudo-label."""


@dataclasses.dataclass(frozen=True)
class GenerationalMethod:
    """One generational method, as switches."""

    start: Start
    """Training set of the nets that label for generation 0; it stays in the set of every generation."""
    generations: bool = True
    """Whether generations of pseudo-labeling and training follow the start."""
    labeler: Callable[[DatasetSpec, Ensemble, Mask], PseudoLabeler] | None = None
    """Makes the `PseudoLabeler`. None with generations: EvalNets select among the candidates' masks."""
    labeler_selection: Literal["ensemble", "best", "all"] = "ensemble"
    """Nets of the last generation that label: the `ensemble.members` best, the best one, or all."""
    keep_original_pairs: bool = True
    """Whether pseudo-labeled pairs enter the training set without augmentation."""
    copies: Copies = "none"
    """Augmented copies of each pair: none, one, or a number by EvalNets' score or by the true score."""
    widen_per_generation: bool = False
    """Whether nets get wider and augmentation stronger with the generations."""
    consistency: bool = False
    """Whether the best start net is trained once more, with the consistency loss."""

    @property
    def evalnet_targets(self) -> Literal["none", "ensembles", "candidates"]:
        """What EvalNets learn to score: blocked pairs of drawn ensembles, or single candidates' masks."""
        if self.copies == "scored":
            return "ensembles"
        return "candidates" if self.generations and self.labeler is None else "none"

    def width(self, model: Model, generation: int | None) -> float:
        """Width multiplier α of a stage's nets; generation None: a baseline, or the consistency loss."""
        if generation is None or not self.widen_per_generation:
            return model.width
        return model.width_per_generation[generation]
