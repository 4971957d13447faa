"""Checks of a configuration's method before anything is read, and the names of its runs."""

from __future__ import annotations

import difflib

from imjax.config.schema import Config
from imjax.errors import ErrorCode, UserError
from imjax.methods.registry import GENERATIONAL_METHODS, JOINT_METHODS

EVALNET_SMALLEST = 64
"""Height and width of an image that EvalNet halves six times (here, since its module needs JAX)."""


def check_method(config: Config) -> None:
    """Check that the method exists and supports the configuration.

    Raises:
        UserError: unknown method, with the closest names; a method for images only, while the data are
            volumes; fewer trained EvalNets than score, or images too small for them; a pixel weighting for a
            method without pairs; blocked images for a method without two predictions of a view before it
            trains on one; or a labeler or a loss of pseudo-labels that a method does not have.
    """
    name, known = config.method, (*GENERATIONAL_METHODS, *JOINT_METHODS)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
        raise UserError(
            f"config key 'method' is {name!r}; did you mean {' or '.join(close)}?",
            code=ErrorCode.UNKNOWN,
            field="method",
        )
    if config.data.depth and name in GENERATIONAL_METHODS:
        raise UserError(
            f"method {name!r} segments images, not volumes (data.depth = {config.data.depth}); for volumes "
            f"there are: {', '.join(JOINT_METHODS)}",
            code=ErrorCode.UNSUPPORTED,
            field="method",
        )
    if name in JOINT_METHODS:
        _check_joint(config)
    else:
        _check_evalnets(config)
    _check_joint_options(config)


def _check_joint_options(config: Config) -> None:
    """UserError where `config.joint` asks for what the method does not have."""
    name, joint = config.method, config.joint
    if joint.pixel_weighting != "none":
        weighable = [other for other, method in JOINT_METHODS.items() if method.num_pairs(joint)]
        _require(
            name in weighable,
            f"method {name!r} has no predictions for {joint.pixel_weighting!r} to weigh; those have: "
            f"{', '.join(weighable)}",
            "joint.pixel_weighting",
        )
    if joint.block_input:
        blockable = [other for other, method in JOINT_METHODS.items() if method.can_block_input]
        _require(
            name in blockable,
            f"config key 'joint.block_input' is True; expected False with method {name!r}: it does not have "
            "the predictions of two nets, or of teacher and student, before it trains on a view; those that "
            f"have: {', '.join(blockable)}",
            "joint.block_input",
        )
    confident = [other for other, method in JOINT_METHODS.items() if method.has_confident_labels]
    if joint.labeler != "student":
        _require(
            name in confident,
            f"config key 'joint.labeler' is {joint.labeler!r}; expected 'student' with method {name!r}; the "
            f"teacher may label for {', '.join(confident)}",
            "joint.labeler",
        )
    if joint.pseudo_label_loss != "cross_entropy":
        _require(
            name in confident and joint.pixel_weighting != "metassl",
            f"config key 'joint.pseudo_label_loss' is {joint.pseudo_label_loss!r}; expected 'cross_entropy' "
            f"with method {name!r} and joint.pixel_weighting={joint.pixel_weighting}: {', '.join(confident)} "
            "have another one, and MetaSSL has a loss of its own",
            "joint.pseudo_label_loss",
        )


def _require(holds: bool, message: str, field: str) -> None:
    if not holds:
        raise UserError(message, code=ErrorCode.CONFLICT, field=field)


def _check_evalnets(config: Config) -> None:
    """UserError where a generational method trains fewer EvalNets than it uses, or for images too small."""
    if GENERATIONAL_METHODS[config.method].evalnet_targets == "none":
        return
    for key in ("height", "width"):
        size = getattr(config.data, key)
        _require(
            size >= EVALNET_SMALLEST,
            f"config key 'data.{key}' is {size}; expected at least {EVALNET_SMALLEST} with method "
            f"{config.method!r}: its EvalNets halve an image six times",
            f"data.{key}",
        )
    used, trained = config.ensemble.members, config.evalnet.num_nets
    _require(
        used <= trained,
        f"config key 'ensemble.members' is {used}; expected at most the {trained} EvalNets that are "
        f"trained (evalnet.num_nets): with method {config.method!r} as many of them score",
        "ensemble.members",
    )


def _check_joint(config: Config) -> None:
    """UserError where a joint method does not support the configuration."""
    model, batch = config.model, config.train.batch_size
    by_stage = model.backbone == "unet_dropout"
    dropout = max(model.dropouts) if by_stage else model.dropout
    if JOINT_METHODS[config.method].needs_dropout and not dropout:
        key = "dropouts" if by_stage else "dropout"
        raise UserError(
            f"method {config.method!r} holds two passes against each other that differ by dropout alone, and "
            f"the net has none; expected config.model.{key} above 0, e.g. 0.2",
            code=ErrorCode.CONFLICT,
            field=f"model.{key}",
        )
    _check_auxiliary(config)
    if batch % 2:
        raise UserError(
            f"config key 'train.batch_size' is {batch}; expected an even number: half of a batch of method "
            f"{config.method!r} is labeled",
            code=ErrorCode.CONFLICT,
            field="train.batch_size",
        )
    if config.baselines:
        raise UserError(
            f"config key 'baselines' is {config.baselines}; expected none beside method {config.method!r}: "
            "baselines are of the generational methods",
            code=ErrorCode.CONFLICT,
            field="baselines",
        )


def _check_auxiliary(config: Config) -> None:
    """UserError where the net's auxiliary predictions are not those that a joint method needs."""
    model, method = config.model, JOINT_METHODS[config.method]
    wanted = "scales" if method.pyramid else "decoders"
    if method.auxiliary_decoders and model.auxiliary != wanted:
        raise UserError(
            f"config key 'model.auxiliary' is {model.auxiliary!r}; expected {wanted!r} with method "
            f"{config.method!r}",
            code=ErrorCode.CONFLICT,
            field="model.auxiliary",
        )
    least = method.auxiliary_decoders + 2
    if method.pyramid and model.backbone == "unet_dropout" and len(model.features) < least:
        raise UserError(
            f"config key 'model.features' is {model.features}; expected at least {least} stages: method "
            f"{config.method!r} predicts at {method.auxiliary_decoders + 1} scales of the decoder",
            code=ErrorCode.TOO_FEW,
            field="model.features",
        )


def run_method(config: Config) -> str:
    """Column `method` of results.csv: the method, and its pixel weighting if any."""
    weighting = config.joint.pixel_weighting
    return config.method if weighting == "none" else f"{config.method}_{weighting}"


def baseline_method(config: Config) -> str:
    """The method that a run is compared with: where it starts, or the same without pixel weighting."""
    if config.method in GENERATIONAL_METHODS:
        return GENERATIONAL_METHODS[config.method].start
    return "supervised" if run_method(config) == config.method else config.method
