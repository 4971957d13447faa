"""The kinds of stages of a run, as values.

Every setting that a stage's result depends on is a field, or one of `artifacts.shared_inputs`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from imjax.config.joint_schema import Joint
from imjax.config.schema import (
    Aldt,
    AugmentStrength,
    Ensemble,
    EvalNetData,
    Mask,
    Model,
    StrongRecipe,
    Train,
)
from imjax.methods.generational.base import Start


@dataclasses.dataclass(frozen=True)
class TrainStage:
    """Train candidates and measure them."""

    name: str
    method: str
    """Column `method` of results.csv."""
    generation: int | None
    start: Start
    """The labeled part of the training set."""
    pseudo: str | None
    """Label stage whose pairs join it."""
    originals: bool
    """Pseudo-labeled pairs as they are."""
    strength: AugmentStrength | None
    """Of the augmented copies of pseudo-labeled pairs."""
    aldt: Aldt
    num_nets: int
    model: Model
    """With the width of this stage's nets."""
    train: Train
    recipe: StrongRecipe | None
    """None: as the method's paper has it."""
    ensemble: int
    """Nets whose mean inconsistency mask is measured on val and test."""
    mask: Mask
    seed: int
    least_share: float = 0.0
    """Steps are counted as for a set of at least this share of the full training set."""
    warm: str | None = None
    """Stage whose best net's weights the candidates start from."""
    consistency: AugmentStrength | None = None
    """Of the views of unlabeled images; None: no consistency loss."""
    select_on_test: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """Stages that this one reads."""
        return tuple(name for name in (self.pseudo, self.warm) if name)


@dataclasses.dataclass(frozen=True)
class JointStage:
    """Train systems on labeled and unlabeled images together, and measure their nets."""

    name: str
    method: str
    """Column `method` of results.csv."""
    joint_method: str
    """Name in `imjax.methods.registry`."""
    joint: Joint
    num_nets: int
    """Systems."""
    model: Model
    train: Train
    recipe: StrongRecipe | None
    """None: as the method's paper has it."""
    ensemble: int
    """Nets whose mean inconsistency mask is measured on val and test."""
    mask: Mask
    seed: int
    select_on_test: bool = False
    generation: None = None
    inputs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class PairsStage:
    """Make EvalNet's training pairs from the candidates of start stages."""

    name: str
    of: Literal["ensembles", "candidates"]
    nets: tuple[str, ...]
    pairs: EvalNetData
    seed: int
    generation: int | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Stages that this one reads."""
        return self.nets


@dataclasses.dataclass(frozen=True)
class EvalNetStage:
    """Train EvalNets."""

    name: str
    pairs: str
    num_nets: int
    model: Model
    """With the width of EvalNets."""
    train: Train
    seed: int
    generation: int | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Stages that this one reads."""
        return (self.pairs,)


@dataclasses.dataclass(frozen=True)
class LabelStage:
    """Label the unlabeled images and decide how many copies each pair gets."""

    name: str
    method: str
    """Whose labeler."""
    generation: int
    nets: str
    members: int
    """The best of `nets` that label; 0: all."""
    ensemble: Ensemble
    mask: Mask
    seed: int
    copies: str
    """`none`, `one`, `scored` or `oracle`."""
    evalnets: str | None
    num_evalnets: int
    """The best of `evalnets`, whose mean score counts (methods.md 1.2); 0 without."""
    min_score: float
    max_score: float
    keep_threshold: float | None
    """EvalNets select among the nets' masks and keep those from this score on; None: the labeler labels."""
    previous_labels: str | None
    """Label stage of the previous generation, whose kept masks compete again."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Stages that this one reads."""
        return tuple(name for name in (self.nets, self.evalnets, self.previous_labels) if name)


Stage = TrainStage | JointStage | PairsStage | EvalNetStage | LabelStage


def find_final_stage(stages: Sequence[Stage]) -> TrainStage | JointStage:
    """The stage of a plan whose nets are the run's result: the last one that trains segmentation nets."""
    return next(stage for stage in reversed(stages) if isinstance(stage, TrainStage | JointStage))
