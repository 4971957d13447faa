"""Configuration → the ordered stages of a run. Pure: nothing is read or computed here."""

from __future__ import annotations

import dataclasses

from imjax.config import Config, EvalNetData, Mask, Train
from imjax.methods.recipes import Start, recipe


@dataclasses.dataclass(frozen=True)
class Strength:
    """Of augmentation, method.md 1.7 and 1.8."""

    blur: int
    noise: int
    gain: float
    offset: float


@dataclasses.dataclass(frozen=True)
class TrainStage:
    """Train candidates and measure them."""

    name: str
    method: str
    """Column `method` of results.csv."""
    generation: int | None
    start: Start
    """The labelled part of the training set."""
    pseudo: str | None
    """Label stage whose pairs join it."""
    originals: bool
    """Blocked pairs as they are."""
    strength: Strength | None
    """Of the augmented copies of blocked pairs."""
    aldt: Strength
    aldt_copies: int
    candidates: int
    alpha: float
    train: Train
    mask: Mask
    """For the mean size of the inconsistency mask on val and test."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Stages that this one reads."""
        return (self.pseudo,) if self.pseudo else ()


@dataclasses.dataclass(frozen=True)
class PairsStage:
    """Make EvalNet's training pairs from the candidates of a start stage."""

    name: str
    nets: str
    pairs: EvalNetData
    generation: int | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Stages that this one reads."""
        return (self.nets,)


@dataclasses.dataclass(frozen=True)
class EvalNetStage:
    """Train EvalNets."""

    name: str
    pairs: str
    candidates: int
    top: int
    alpha: float
    train: Train
    generation: int | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Stages that this one reads."""
        return (self.pairs,)


@dataclasses.dataclass(frozen=True)
class LabelStage:
    """Label the unlabelled images by consensus and decide how many copies each pair gets."""

    name: str
    generation: int
    nets: str
    mask: Mask
    copies: str
    """`none`, `one` or `scored`."""
    evalnets: str | None
    lowest: float
    highest: float

    @property
    def inputs(self) -> tuple[str, ...]:
        """Stages that this one reads."""
        return (self.nets,) + ((self.evalnets,) if self.evalnets else ())


Stage = TrainStage | PairsStage | EvalNetStage | LabelStage


def make_plan(config: Config) -> tuple[Stage, ...]:
    """The stages in the order they run; each reads only earlier ones.

    Raises:
        UserError: the method is unknown.
    """
    chosen = recipe(config.method)
    starts = dict.fromkeys((*config.baselines, chosen.start))
    stages: list[Stage] = [_start(config, name) for name in starts]
    if not chosen.generations:
        return tuple(stages)
    nets = f"train_{chosen.start}"
    if chosen.copies == "scored":
        e = config.evalnet
        stages += [
            PairsStage("pairs", nets, e.pairs),
            EvalNetStage("evalnet", "pairs", e.candidates, e.top, e.alpha, e.train),
        ]
    for generation in range(config.generations):
        label = LabelStage(
            f"label_g{generation}",
            generation,
            nets,
            config.mask,
            chosen.copies,
            "evalnet" if chosen.copies == "scored" else None,
            config.evalnet.lowest,
            config.evalnet.highest,
        )
        train = _generation(config, generation, label.name)
        stages += [label, train]
        nets = train.name
    return tuple(stages)


def _start(config: Config, name: str) -> TrainStage:
    return _train(
        config, name=f"train_{name}", method=name, start=name, candidates=config.start_candidates,
        alpha=config.model.alpha,
    )  # fmt: skip


def _generation(config: Config, generation: int, pseudo: str) -> TrainStage:
    chosen = recipe(config.method)
    a = config.augment
    strength = Strength(a.blur[generation], a.noise[generation], a.gain[generation], a.offset[generation])
    return _train(
        config,
        name=f"train_g{generation}",
        method=config.method,
        start=chosen.start,
        candidates=config.candidates,
        alpha=config.model.growing_alpha[generation] if chosen.grows else config.model.alpha,
        generation=generation,
        pseudo=pseudo,
        originals=chosen.originals,
        strength=None if chosen.copies == "none" else strength,
    )


def _train(config: Config, **settings) -> TrainStage:
    """A training stage with what all of them share filled in."""
    shared = dict(
        generation=None,
        pseudo=None,
        originals=False,
        strength=None,
        aldt=Strength(config.aldt.blur, config.aldt.noise, config.aldt.gain, config.aldt.offset),
        aldt_copies=config.aldt.copies,
        train=config.train,
        mask=config.mask,
    )
    return TrainStage(**(shared | settings))


def describe(stages: tuple[Stage, ...]) -> str:
    """The plan as a table for people."""
    rows = [("stage", "kind", "reads", "what")]
    for i, stage in enumerate(stages):
        rows.append((f"{i:02d}_{stage.name}", _kind(stage), " ".join(stage.inputs) or "data", _what(stage)))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]) for row in rows
    )


def _kind(stage: Stage) -> str:
    return type(stage).__name__.removesuffix("Stage").lower()


def _what(stage: Stage) -> str:
    if isinstance(stage, TrainStage):
        steps = stage.train.steps_per_epoch or "⌊images/batch⌋"
        extra = f", copies {dataclasses.astuple(stage.strength)}" if stage.strength else ""
        length = f"{stage.train.epochs} epochs of {steps} steps"
        return f"{stage.candidates} U-Nets α={stage.alpha:g}, {length}{extra}"
    if isinstance(stage, PairsStage):
        return f"{stage.pairs.passes} passes over the labelled images, {stage.pairs.val_passes} over val"
    if isinstance(stage, EvalNetStage):
        return f"{stage.candidates} EvalNets α={stage.alpha:g}, the best {stage.top} score"
    return f"consensus of the best {stage.mask.members}, copies: {stage.copies}"
