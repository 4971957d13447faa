"""Which values of the configuration can work, checked before anything is computed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

from imjax.config.joint_schema import TAPS, WEIGHTINGS
from imjax.config.schema import CONVOLUTIONS, EXECUTIONS, FITS, KERNELS, LABEL_KINDS, LEVELS, Augment, Config
from imjax.errors import UserError

SCHEDULES = ("constant", "poly", "plateau")
CHANCES = ("contrast_prob", "blur_prob", "noise_prob")

Rule = tuple[str, Callable[[Any], bool], str]
"""Key, whether its value will do, and what is expected."""


def check(config: Config) -> Config:
    """Reject values that cannot work, before anything is computed; returns the config.

    Raises:
        UserError: names the key, its value and what was expected.
    """
    for key, valid, expected in (*_single_rules(), *_joint_rules(config)):
        value = functools.reduce(getattr, key.split("."), config)
        if not valid(value):
            raise UserError(f"config key {key!r} is {value!r}; expected {expected}")
    return config


def _single_rules() -> Iterator[Rule]:
    """What each key alone must be."""
    for key in ("data.height", "data.width"):
        yield key, lambda v: v > 0 and v % 16 == 0, "a multiple of 16 (U-Net halves 4 times)"
    counts = ("candidates", "num_baseline_nets", "top", "eval_batch_size", "train.epochs",
              "ensemble.members", "ensemble.views", "consistency.epochs", "evalnet.pairs.val_candidates",
              "train.batch_size", "evalnet.candidates", "evalnet.train.epochs",
              "evalnet.train.batch_size", "evalnet.pairs.passes", "evalnet.pairs.val_passes")  # fmt: skip
    for key in counts:
        yield key, lambda v: v >= 1, "at least 1"
    for key in (
        "seed",
        "generations",
        "nets_per_device",
        "max_device_dataset_mib",
        "aldt.copies",
        "data.crops",
    ):
        yield key, lambda v: v >= 0, "at least 0"
    for key in ("data.overlap", "joint.predict_overlap"):
        yield key, lambda v: 0 <= v < 1, "at least 0, less than 1"
    for key in ("train.learning_rate", "evalnet.train.learning_rate", "model.alpha", "evalnet.alpha"):
        yield key, lambda v: v > 0, "more than 0"
    yield "seed", lambda v: v < 2**63, "less than 2^63"
    yield "on_nan", lambda v: v in ("stop", "drop"), "stop or drop"
    yield "data.depth", lambda v: v >= 0 and v % 16 == 0, "0 (images) or a multiple of 16"
    yield "data.fit", lambda v: v in FITS, f"one of {FITS}"
    yield "data.label_kind", lambda v: v in LABEL_KINDS, f"one of {LABEL_KINDS}"
    yield "data.label_fraction", lambda v: 0 < v <= 1, "more than 0, at most 1"
    for key in ("data.val_fraction", "data.test_fraction"):
        yield key, lambda v: 0 < v < 1, "more than 0, less than 1"
    yield "model.dtype", lambda v: v in ("auto", "float32", "bfloat16"), "auto, float32 or bfloat16"
    yield "member_execution", lambda v: v in EXECUTIONS, f"one of {EXECUTIONS}"
    yield "model.convolution", lambda v: v in CONVOLUTIONS, f"one of {CONVOLUTIONS}"
    for key in ("mask.erode", "mask.dilate"):
        yield key, lambda v: v == 0 or (v > 0 and v % 2 == 1), "0 or an odd size of a square kernel"
    for key in ("train", "evalnet.train"):
        yield f"{key}.optimizer", lambda v: v in ("adamw", "adam", "sgd"), "adamw, adam or sgd"
        yield f"{key}.schedule", lambda v: v in SCHEDULES, f"one of {SCHEDULES}"
        yield f"{key}.patience", lambda v: v >= 1, "at least 1"
    yield from _joint_training()
    yield "evalnet.pairs.kernels", lambda v: v and set(v) <= set(KERNELS), f"sizes of {KERNELS}"
    yield "consistency.level", lambda v: v in LEVELS, f"one of {LEVELS}"
    yield "baselines", lambda v: set(v) <= {"ldt", "aldt", "fdt"}, "some of ldt, aldt, fdt"


def _joint_training() -> Iterator[Rule]:
    """What keys of the methods of methods.md 2 must be."""
    yield "model.backbone", lambda v: v in ("study", "benchmark"), "study or benchmark"
    yield "joint.weighting", lambda v: v in WEIGHTINGS, f"one of {WEIGHTINGS}"
    for key in ("joint.ramp.steps", "joint.ramp.unit"):
        yield key, lambda v: v >= 1, "at least 1"
    chances = [f"{view}.{name}" for view in ("weak", "strong") for name in CHANCES]
    chances += [
        "confidence",
        "cutmix",
        "flip",
        "turn",
        "feature_dropout",
        "ema_decay",
        "metassl.momentum",
    ]
    for key in chances:
        yield f"joint.{key}", lambda v: 0 <= v <= 1, "from 0 to 1"
    yield "joint.simeps.nets", lambda v: v >= 2, "at least 2 (published: 3 or 4)"
    yield "joint.simeps.combine", lambda v: v in ("max", "mean"), "max or mean"
    yield "joint.simeps.stages", lambda v: set(v) <= set(TAPS), f"some of {TAPS}"
    for key in ("unlabeled", "labeled"):
        yield f"joint.metassl.{key}", lambda v: len(v) in (0, 4), "four weights, of UC, US, DC, DS, or none"
    for key in ("teacher_noise", "ramp.peak", "simeps.kappa"):
        yield f"joint.{key}", lambda v: v >= 0, "at least 0"
    yield "joint.feature_dropout", lambda v: v < 1, "less than 1"
    for view in ("weak", "strong"):
        yield f"joint.{view}.blur", lambda v: 0 <= v <= 3, "from 0 to 3"
        yield f"joint.{view}.noise", lambda v: v >= 0, "at least 0"


def _joint_rules(config: Config) -> Iterator[Rule]:
    """What keys must be beside others."""
    highest = config.evalnet.highest
    yield "evalnet.lowest", lambda v: v < highest, f"less than evalnet.highest = {highest}"
    fewest = min(config.candidates, config.num_baseline_nets)
    yield "ensemble.members", lambda v: v <= fewest, f"at most the {fewest} candidates that are trained"
    crops = config.data.crops
    yield "data.overlap", lambda v: not (v and crops), f"0 beside data.crops = {crops}: crops are of one kind"
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
