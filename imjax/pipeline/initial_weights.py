"""What the nets of a training stage start from: random weights, ImageNet's, or another run's (warm start)."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from imjax.config.schema import Model
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, UserError
from imjax.inference.load_run import load_model
from imjax.log import logger
from imjax.models import factory
from imjax.models.network import Network

NONE, IMAGENET = "none", "imagenet"
"""Values of `model.weights`; any other is the folder of a run."""
LEAST_SHARE = 0.2
"""Of a net's parameters that must fit: of nets with other widths hardly any do."""


def check(model: Model) -> None:
    """Check that the weights are there, before anything is computed.

    Raises:
        UserError: the package with ImageNet's is not installed; no finished run is in the folder, or one with
            another backbone.
    """
    if model.weights == IMAGENET:
        factory.check_imagenet_weights(model)
    elif model.weights != NONE:
        found = load_model(Path(model.weights)).model.backbone
        if found != model.backbone:
            raise UserError(
                f"config key 'model.weights' is {model.weights!r}, a run with model.backbone = {found!r}; "
                f"expected one with that of this run, {model.backbone!r}",
                code=ErrorCode.CONFLICT,
                field="model.weights",
            )


def digest(model: Model) -> str:
    """What identifies the weights: the word, or SHA-256 of the nets in the folder, wherever that is."""
    return model.weights if model.weights in (NONE, IMAGENET) else _digest_of_nets(model.weights)


@functools.cache
def _digest_of_nets(workdir: str) -> str:
    nets = load_model(Path(workdir))
    assert isinstance(nets.weights, Path), "a run on disk"
    found = hashlib.sha256(json.dumps(nets.ranked).encode())
    for path in sorted(path for path in nets.weights.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found.update(f"{path.relative_to(nets.weights).as_posix()}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()


def load(model: Model, net: Network, spec: DatasetSpec, size: tuple[int, ...]) -> tuple[dict[str, Any], ...]:
    """The weights that nets start from in turn, see `Objective.start`.

    Args:
        model: of the stage.
        net: what `create_backbone` made of it.
        spec: of the dataset.
        size: of the images that initialize the net.

    Returns:
        numpy variables of nets, or of parts of them; none: all weights are drawn.

    Raises:
        UserError: they cannot be read, or too few of them fit the net.
    """
    if model.weights == NONE:
        return ()
    if model.weights == IMAGENET:
        return (factory.load_imagenet_weights(model, spec),)
    source = load_model(Path(model.weights))
    nets = source.nets()
    first, *_ = found = tuple(
        jax.tree.map(lambda leaf: leaf[i], nets)  # noqa: B023
        for i in range(len(source.ranked))
    )
    images = jax.ShapeDtypeStruct((1, *size, spec.channels), np.uint8)
    needed = _shapes(jax.eval_shape(net.init, jax.random.key(0), images)["params"])
    there = _shapes(first["params"])
    fitting = sum(int(np.prod(shape)) for name, shape in needed.items() if there.get(name) == shape)
    share = fitting / sum(int(np.prod(shape)) for shape in needed.values())
    if share < LEAST_SHARE:
        raise UserError(
            f"config key 'model.weights' is {model.weights!r}: only {share:.0%} of a net's parameters fit (α "
            f"there {source.model.width:g}, here {model.width:g}); expected a run with the same model.width "
            "and model.features",
            code=ErrorCode.CONFLICT,
            field="model.weights",
        )
    logger.info(
        "%d nets of %s to start from: %.0f %% of the parameters", len(found), model.weights, 100 * share
    )
    return found


def _shapes(params: Any) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}
