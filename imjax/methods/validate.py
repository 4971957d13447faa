"""The methods of both families by name, and what a run of one is called."""

from __future__ import annotations

import difflib

from imjax.config.schema import Config
from imjax.errors import UserError
from imjax.methods.generational.registry import GENERATIONAL_METHODS
from imjax.methods.joint import loss
from imjax.methods.joint.registry import JOINT_METHODS


def check(config: Config) -> None:
    """Make sure that the method exists and can do what it is asked for.

    Raises:
        UserError: no such method, with the nearest ones; one of images alone, where the data are volumes;
            fewer EvalNets than score; or a weighting without pixels to weigh.
    """
    name, known = config.method, (*GENERATIONAL_METHODS, *JOINT_METHODS)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
        raise UserError(f"config key 'method' is {name!r}; did you mean {' or '.join(close)}?")
    if config.data.depth and name in GENERATIONAL_METHODS:
        raise UserError(
            f"method {name!r} segments images, not volumes (data.depth = {config.data.depth}); for volumes "
            f"there are: {', '.join(JOINT_METHODS)}"
        )
    if name in JOINT_METHODS:
        _check_host(config)
    else:
        _check_judges(config)
    chosen = loss.weighting(config.joint, config.metassl)
    if chosen != "none" and (name in GENERATIONAL_METHODS or not JOINT_METHODS[name].exchanges(config.joint)):
        able = ", ".join(host for host in JOINT_METHODS if JOINT_METHODS[host].exchanges(config.joint))
        raise UserError(f"method {name!r} has no predictions for {chosen!r} to weigh; those have: {able}")


def _check_judges(config: Config) -> None:
    """UserError where a generational method has fewer EvalNets than score."""
    judges, trained = config.ensemble.members, config.evalnet.candidates
    if GENERATIONAL_METHODS[config.method].judged != "none" and judges > trained:
        raise UserError(
            f"config key 'ensemble.members' is {judges}; expected at most the {trained} EvalNets that are "
            f"trained (evalnet.candidates): with method {config.method!r} as many of them score"
        )


def _check_host(config: Config) -> None:
    """UserError where a joint method cannot do what it is asked for."""
    model, batch = config.model, config.train.batch_size
    dropout = model.dropout if model.backbone == "study" else max(model.dropouts)
    if JOINT_METHODS[config.method].drops and not dropout:
        key = "dropout" if model.backbone == "study" else "dropouts"
        raise UserError(
            f"method {config.method!r} holds two passes against each other that differ by dropout alone, and "
            f"the net has none; expected config.model.{key} above 0, e.g. 0.2"
        )
    if batch % 2:
        raise UserError(
            f"config key 'train.batch_size' is {batch}; expected an even number: half of a batch of method "
            f"{config.method!r} is labeled"
        )
    if config.baselines:
        raise UserError(
            f"config key 'baselines' is {config.baselines}; expected none beside method {config.method!r}: "
            "baselines are of the generational methods"
        )


def title(config: Config) -> str:
    """Column `method` of results.csv: the method, and what weighs its pixels."""
    chosen = loss.weighting(config.joint, config.metassl)
    return config.method if chosen == "none" else f"{config.method}_{chosen}"


def start(config: Config) -> str:
    """The method that a run's gains are counted from: where it starts, or what it adds to."""
    if config.method in GENERATIONAL_METHODS:
        return GENERATIONAL_METHODS[config.method].start
    return "supervised" if title(config) == config.method else config.method
