"""Which values of the configuration can work, checked before anything is computed."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from imjax.config.schema import LEVELS, Augment, Config
from imjax.errors import UserError

Rule = tuple[str, Callable[[Any], bool], str]
"""Key, whether its value will do, and what is expected."""


def check(config: Config) -> Config:
    """Reject values that cannot work, before anything is computed; returns the config.

    Raises:
        UserError: names the key, its value and what was expected.
    """
    for name, valid, expected in itertools.chain(_single_rules(config), _joint_rules(config)):
        value = functools.reduce(getattr, name.split("."), config)
        if not valid(value):
            raise UserError(f"config key {name!r} is {value!r}; expected {expected}")
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
    highest = config.evalnet.highest
    yield "evalnet.lowest", lambda v: v < highest, f"less than evalnet.highest = {highest}"
    fewest = min(config.candidates, config.num_baseline_nets)
    yield "ensemble.members", lambda v: v <= fewest, f"at most the {fewest} candidates that are trained"
    crops = config.data.crops
    yield "data.overlap", lambda v: not (v and crops), f"0 beside data.crops = {crops}: crops are of one kind"
    overlap = config.data.overlap
    yield "data.by_crop", lambda v: not v or overlap > 0, "False beside data.overlap = 0: there is no grid"
    yield from _volume_rules(config)
    cropped = bool(crops or config.data.overlap)
    yield "data.fit", lambda v: not (v == "pad" and cropped), "resize or crop beside data.crops, data.overlap"
    features = config.model.features
    yield "model.dropouts", lambda v: len(v) == len(features), f"one for each of model.features = {features}"
    weighting = config.joint.weighting
    valid = ("none", "metassl")
    yield "metassl", lambda v: not v or weighting in valid, f"False beside joint.weighting = {weighting}"
    strengths = [field.name for field in dataclasses.fields(Augment)]
    for key in ("model.width_per_generation", *(f"augment.{name}" for name in strengths)):
        number = config.generations
        yield key, lambda v, n=number: len(v) >= n, f"an entry for each of the {number} generations"
    for name in strengths:
        yield f"consistency.{name}", lambda v: len(v) == len(LEVELS), f"an entry for each of {LEVELS}"


def _volume_rules(config: Config) -> Iterator[Rule]:
    """What keys must be beside the depth of the data."""
    depth, factor = config.data.depth, 2 ** (len(config.model.features) - 1)
    if not depth:
        yield "joint.patch", lambda v: not v, "empty beside data.depth = 0: images are seen whole"
        return
    box = depth, config.data.height, config.data.width

    def fits(patch):
        sides = patch or box
        return len(sides) == 3 and all(
            0 < side <= most and side % factor == 0 for side, most in zip(sides, box, strict=True)
        )

    wanted = f"depth, height and width of at most {box}, each a multiple of {factor} (the net halves them)"
    yield "joint.patch", fits, wanted
    yield "model.backbone", lambda v: v == "benchmark", f"benchmark beside data.depth = {depth}: for volumes"
