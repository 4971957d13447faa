"""Configuration → the ordered stages of a run. Pure: nothing is read or computed here."""

from __future__ import annotations

import dataclasses
from typing import Any

from imjax.config.schema import ENCODERS, LEVELS, AugmentStrength, Config, Model, StrongRecipe, Train
from imjax.data.splits import ImageCounts
from imjax.methods import validate
from imjax.methods.generational.base import GenerationalMethod
from imjax.methods.registry import GENERATIONAL_METHODS, JOINT_METHODS
from imjax.pipeline.count_steps import count_steps
from imjax.pipeline.stages import EvalNetStage, JointStage, LabelStage, PairsStage, Stage, TrainStage


def make_plan(config: Config) -> tuple[Stage, ...]:
    """The stages in the order they run; each reads only earlier ones.

    Raises:
        UserError: the method is unknown, or cannot do what it is asked for.
    """
    validate.check_method(config)
    if config.method in JOINT_METHODS:
        return (_joint_stage(config),)
    chosen = GENERATIONAL_METHODS[config.method]
    scored = ("ldt", "aldt") if chosen.evalnet_targets == "candidates" else (chosen.start,)
    starts = dict.fromkeys((*config.baselines, *scored))
    stages: list[Stage] = [_baseline_stage(config, name) for name in starts]
    if chosen.consistency:
        stages.append(_consistency_stage(config))
    if chosen.evalnet_targets != "none":
        stages += _evalnet_stages(config, chosen, scored)
    if chosen.generations:
        stages += _generation_stages(config, chosen)
    return tuple(stages)


def _joint_stage(config: Config) -> JointStage:
    return JointStage(
        f"train_{validate.run_method(config)}",
        validate.run_method(config),
        config.method,
        config.joint,
        config.num_nets,
        _model(config, config.model.width),
        _train(config),
        _recipe(config),
        config.ensemble.members,
        config.mask,
        config.seed,
        config.select_on_test,
    )


def _evalnet_stages(config: Config, chosen: GenerationalMethod, starts: tuple[str, ...]) -> list[Stage]:
    e = config.evalnet
    nets = tuple(f"train_{start}" for start in starts)
    assert chosen.evalnet_targets != "none", "a method without EvalNets has no such stages"
    pairs = PairsStage("pairs", chosen.evalnet_targets, nets, e.pairs, config.seed)
    # EvalNets are no backbones: nothing to start from fits them.
    model = dataclasses.replace(_model(config, e.width), weights="none")
    train = _with_schedule(e.train, "constant")
    return [pairs, EvalNetStage("evalnet", "pairs", e.num_nets, model, train, config.seed)]


def _generation_stages(config: Config, chosen: GenerationalMethod) -> list[Stage]:
    nets, previous = f"train_{chosen.start}", None
    stages: list[Stage] = []
    for generation in range(config.generations):
        label = _label_stage(config, chosen, generation, nets, previous)
        train = _generation_stage(config, chosen, generation, label.name)
        stages += [label, train]
        nets, previous = train.name, label.name
    return stages


def _label_stage(
    config: Config, chosen: GenerationalMethod, generation: int, nets: str, previous: str | None
) -> LabelStage:
    scores, selects = chosen.evalnet_targets != "none", chosen.evalnet_targets == "candidates"
    members = {"ensemble": config.ensemble.members, "best": 1, "all": 0}[chosen.labeler_selection]
    return LabelStage(
        f"label_g{generation}",
        config.method,
        generation,
        nets,
        members,
        config.ensemble,
        config.mask,
        config.seed,
        chosen.copies,
        "evalnet" if scores else None,
        config.ensemble.members if scores else 0,
        config.evalnet.min_score,
        config.evalnet.max_score,
        config.evalnet.keep_threshold if selects else None,
        previous if selects else None,
    )


def _baseline_stage(config: Config, name: str) -> TrainStage:
    return _train_stage(
        config, name=f"train_{name}", method=name, start=name, num_nets=config.num_baseline_nets
    )


def _consistency_stage(config: Config) -> TrainStage:
    c, train = config.consistency, _train(config)
    level = LEVELS.index(c.level)
    return _train_stage(
        config,
        name="train_consistency",
        method="consistency",
        start="ldt",
        num_nets=config.num_nets,
        # `equal` counts steps of the whole training, so that twice the epochs would be twice the steps.
        train=dataclasses.replace(train, epochs=train.epochs if train.budget == "equal" else c.epochs),
        warm="train_ldt",
        consistency=AugmentStrength(c.blur[level], c.noise[level], c.contrast[level], c.brightness[level]),
    )


def _generation_stage(config: Config, chosen: GenerationalMethod, generation: int, pseudo: str) -> TrainStage:
    a = config.augment
    strength = AugmentStrength(
        a.blur[generation], a.noise[generation], a.contrast[generation], a.brightness[generation]
    )
    return _train_stage(
        config,
        name=f"train_g{generation}",
        method=config.method,
        start=chosen.start,
        num_nets=config.num_nets,
        model=_model(config, chosen.width(config.model, generation)),
        generation=generation,
        pseudo=pseudo,
        originals=chosen.keep_original_pairs,
        strength=None if chosen.copies == "none" else strength,
        least_share=config.evalnet.least_share if chosen.evalnet_targets == "candidates" else 0.0,
    )


def _train_stage(config: Config, **settings: Any) -> TrainStage:
    """A training stage with what all of them share filled in."""
    shared: dict[str, Any] = dict(
        generation=None,
        pseudo=None,
        originals=False,
        strength=None,
        aldt=config.aldt,
        model=_model(config, config.model.width),
        train=_train(config),
        recipe=_recipe(config),
        ensemble=config.ensemble.members,
        mask=config.mask,
        seed=config.seed,
        select_on_test=config.select_on_test,
    )
    return TrainStage(**(shared | settings))


def _model(config: Config, width: float) -> Model:
    """The run's nets at one width: widths of other stages must not change a stage's digest."""
    return dataclasses.replace(config.model, width=width, width_per_generation=())


def _recipe(config: Config) -> StrongRecipe | None:
    return config.strong if config.recipe == "strong" else None


def _train(config: Config) -> Train:
    """Training options of segmentation nets."""
    return _with_schedule(config.train, "one_cycle" if config.recipe == "strong" else "constant")


def _with_schedule(train: Train, default: str) -> Train:
    """The options with a schedule where none is chosen."""
    return dataclasses.replace(train, schedule=default) if train.schedule == "auto" else train


def describe(stages: tuple[Stage, ...], counts: ImageCounts | None = None) -> str:
    """The plan as a table for people.

    Args:
        stages: the plan.
        counts: images of the dataset, for numbers of steps; None: not known, and the rule stands there.
    """
    rows = [("stage", "kind", "reads", "what")]
    for i, stage in enumerate(stages):
        inputs = " ".join(stage.inputs) or "data"
        rows.append((f"{i:02d}_{stage.name}", _kind(stage), inputs, _describe(stage, stages, counts)))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]) for row in rows
    )


def _kind(stage: Stage) -> str:
    return type(stage).__name__.removesuffix("Stage").lower()


def _describe(stage: Stage, stages: tuple[Stage, ...], counts: ImageCounts | None) -> str:
    if isinstance(stage, LabelStage):
        return _describe_labeling(stage)
    if isinstance(stage, PairsStage):
        if stage.of == "candidates":
            return "the candidates' masks and the truth"
        return f"{stage.pairs.epochs} passes over the labeled images, {stage.pairs.val_epochs} over val"
    steps = _describe_steps(stage, stages, counts)
    if isinstance(stage, JointStage):
        nets = JOINT_METHODS[stage.joint_method].num_nets(stage.joint)
        return f"{stage.num_nets} systems of {nets} nets, {steps}"
    if isinstance(stage, EvalNetStage):
        return f"{stage.num_nets} EvalNets α={stage.model.width:g}, {steps}"
    encoder = f" on {stage.model.backbone}" if stage.model.backbone in ENCODERS else ""
    parts = [f"{stage.num_nets} U-Nets α={stage.model.width:g}{encoder}, {steps}"]
    if stage.strength:
        parts.append(f"copies {dataclasses.astuple(stage.strength)}")
    if stage.consistency:
        parts.append(f"views {dataclasses.astuple(stage.consistency)}")
    return ", ".join(parts)


def _describe_steps(
    stage: TrainStage | JointStage | EvalNetStage, stages: tuple[Stage, ...], counts: ImageCounts | None
) -> str:
    """`50 epochs of 8 steps: 400 steps of 32 images`, or the rule where the images are not known."""
    train = stage.train
    if not train.steps_per_epoch and counts is None:
        rule = "⌊images/batch⌋" if train.budget == "published" else "⌊images of the longest method/batch⌋"
        return f"{train.epochs} epochs of {rule} steps"
    fewest, most = count_steps(stage, stages, counts or ImageCounts(1, 1))
    each, total = (
        f"{low:,}".replace(",", " ") + (f" to {high:,}".replace(",", " ") if high != low else "")
        for low, high in ((fewest, most), (train.epochs * fewest, train.epochs * most))
    )
    return f"{train.epochs} epochs of {each} steps: {total} steps of {train.batch_size} images"


def _describe_labeling(stage: LabelStage) -> str:
    evalnets = "the best EvalNet" if stage.num_evalnets == 1 else f"the best {stage.num_evalnets} EvalNets"
    if stage.keep_threshold is not None:
        return f"of each image the mask that {evalnets} score highest, kept from {stage.keep_threshold:g} on"
    who = "the best net" if stage.members == 1 else f"the best {stage.members} nets"
    by = f" by {evalnets}" if stage.num_evalnets else ""
    return f"{stage.method} by {who}, copies: {stage.copies}{by}"
