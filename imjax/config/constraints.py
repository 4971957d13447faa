"""Which values of the configuration can work, checked before anything is computed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from imjax.config.schema import ENCODERS, LEVELS, Augment, Config
from imjax.errors import ErrorCode, UserError

Rule = tuple[str, Callable[[Any], bool], str]
"""Key, whether its value will do, and what is expected."""


def check(config: Config) -> Config:
    """Reject values that cannot work, before anything is computed; returns the config.

    Raises:
        UserError: names the key, its value and what was expected.
    """
    for code, rules in (
        (ErrorCode.OUT_OF_RANGE, _single_rules(config)),
        (ErrorCode.CONFLICT, _joint_rules(config)),
    ):
        for name, valid, expected in rules:
            value = functools.reduce(getattr, name.split("."), config)
            if not valid(value):
                message = f"config key {name!r} is {value!r}; expected {expected}"
                raise UserError(message, code=code, field=name)
    return config


def _single_rules(group: Any, prefix: str = "") -> Iterator[Rule]:
    """What each key alone must be, as the schema declares it."""
    for field in dataclasses.fields(group):
        constraint = field.metadata["key"].constraint
        if constraint:
            yield prefix + field.name, constraint.valid, constraint.expected
        if dataclasses.is_dataclass(value := getattr(group, field.name)):
            yield from _single_rules(value, f"{prefix}{field.name}.")


def _joint_rules(config: Config) -> Iterator[Rule]:
    """What keys must be beside others."""
    max_score = config.evalnet.max_score
    yield "evalnet.min_score", lambda v: v < max_score, f"less than evalnet.max_score = {max_score}"
    trained = min(config.num_nets, config.num_baseline_nets)
    yield "ensemble.members", lambda v: v <= trained, f"at most the {trained} candidates that are trained"
    crops = config.data.random_crops
    expected = f"0 beside data.random_crops = {crops}: crops are of one kind"
    yield "data.tile_overlap", lambda v: not (v and crops), expected
    overlap, expected = config.data.tile_overlap, "False beside data.tile_overlap = 0: there is no grid"
    yield "data.by_crop", lambda v: not v or overlap > 0, expected
    yield from _fold_rules(config)
    yield from _volume_rules(config)
    yield from _encoder_rules(config)
    weighting = config.joint.pixel_weighting
    expected = f"False beside joint.pixel_weighting = {weighting!r}; blocking goes with 'inconsistency'"
    yield "joint.block_input", lambda v: not v or weighting == "inconsistency", expected
    cropped = bool(crops or config.data.tile_overlap)
    expected = "resize or crop beside data.random_crops, data.tile_overlap"
    yield "data.resize_mode", lambda v: not (v == "pad" and cropped), expected
    features = config.model.features
    yield "model.dropouts", lambda v: len(v) == len(features), f"one for each of model.features = {features}"
    strengths = [field.name for field in dataclasses.fields(Augment)]
    generations = config.generations
    for key in ("model.width_per_generation", *(f"augment.{name}" for name in strengths)):
        yield key, lambda v: len(v) >= generations, f"an entry for each of the {generations} generations"
    for name in strengths:
        yield f"consistency.{name}", lambda v: len(v) == len(LEVELS), f"an entry for each of {LEVELS}"


def _fold_rules(config: Config) -> Iterator[Rule]:
    """What keys must be beside the number of folds."""
    folds, count = config.data.folds, config.data.num_folds
    yield "data.fold", lambda v: v <= count, f"at most {count}, the number of folds through all repeats"
    if count:
        yield "data.by_crop", lambda v: not v, f"False beside data.folds = {folds}: folds are of whole images"
        yield (
            "data.keep_split",
            lambda v: not v,
            f"empty beside data.folds = {folds}: folds divide all images anew",
        )
    else:
        yield "data.fold_repeats", lambda v: v == 1, "1 beside data.folds = 1: nothing is divided"


def _encoder_rules(config: Config) -> Iterator[Rule]:
    """What keys must be where a net has no encoder of its own."""
    backbone = config.model.backbone
    if backbone not in ENCODERS:
        known = ", ".join(ENCODERS)
        expected = f"none or a run's folder beside model.backbone = {backbone!r}; imagenet is for {known}"
        yield "model.weights", lambda v: v != "imagenet", expected
        expected = f"1.0 beside model.backbone = {backbone!r}, which has no encoder of its own"
        yield "train.encoder_lr_scale", lambda v: v == 1, expected
    yield "evalnet.train.encoder_lr_scale", lambda v: v == 1, "1.0: EvalNets have no encoder of their own"


def _volume_rules(config: Config) -> Iterator[Rule]:
    """What keys must be beside the depth of the data."""
    depth, factor = config.data.depth, 2 ** (len(config.model.features) - 1)
    if not depth:
        yield "joint.patch", lambda v: not v, "empty beside data.depth = 0: images are seen whole"
        return
    box = depth, config.data.height, config.data.width

    def fits(patch: Sequence[int]) -> bool:
        sides = patch or box
        return len(sides) == 3 and all(
            0 < side <= most and side % factor == 0 for side, most in zip(sides, box, strict=True)
        )

    wanted = f"depth, height and width of at most {box}, each a multiple of {factor} (the net halves them)"
    yield "joint.patch", fits, wanted
    expected = f"unet_dropout beside data.depth = {depth}: for volumes"
    yield "model.backbone", lambda v: v == "unet_dropout", expected
