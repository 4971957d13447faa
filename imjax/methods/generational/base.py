"""What a generational method is made of: switches, and how nets label one image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax

from imjax.config.schema import Ensemble, Mask, Model
from imjax.data.spec import DatasetSpec
from imjax.ops.inconsistency import Pair

Start = Literal["ldt", "aldt", "fdt"]
Batch = dict[str, jax.Array]
Apply = Callable[[jax.Array], jax.Array]
"""A net: images uint8 `[b, h, w, c]` → logits `[b, h, w, k]`."""


class PseudoLabeler(NamedTuple):
    """How nets label images: what each net says of a batch, and what all say of one image."""

    look: Callable[[Apply, Batch], Any]
    """One net, a batch (`image`, and `key` `[b, 2]`, raw bits of its own per image) → leaves `[b, ...]`."""
    agree: Callable[[Any], Pair]
    """Leaves `[net, ...]` for one image → its pseudo-label, what is inconsistent, and whether it is kept."""


@dataclasses.dataclass(frozen=True)
class GenerationalMethod:
    """One method of the study (methods.md 1.2)."""

    start: Start
    """Training set of the nets that label generation 0, and of every generation beside the pseudo-labels."""
    generations: bool = True
    """Whether labeling and training anew follow the start."""
    labeler: Callable[[DatasetSpec, Ensemble, Mask], PseudoLabeler] | None = None
    """How pseudo-labels are made. None with generations: EvalNets choose among the candidates' masks."""
    labeled_by: Literal["ensemble", "best", "all"] = "ensemble"
    """Nets of the last generation: the `ensemble.members` best, the best one, or every candidate."""
    originals: bool = True
    """Pseudo-labeled pairs enter as they are."""
    copies: Literal["none", "one", "scored", "oracle"] = "none"
    """Augmented copies of each pair: none, one, as many as EvalNets' score says, or as the true one says."""
    grows: bool = False
    """Nets widen and augmentation strengthens with the generation."""
    consistency: bool = False
    """One more training follows the start, from its best net's weights, with the consistency loss."""

    @property
    def judged(self) -> Literal["none", "ensembles", "candidates"]:
        """What EvalNets learn to score: blocked pairs of drawn ensembles, or single candidates' masks."""
        if self.copies == "scored":
            return "ensembles"
        return "candidates" if self.generations and self.labeler is None else "none"

    def width(self, model: Model, generation: int | None) -> float:
        """Width α of a stage's nets; generation None: of a baseline, or of the consistency loss."""
        grows = self.grows and generation is not None
        return model.width_per_generation[generation] if grows else model.alpha
