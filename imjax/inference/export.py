"""The nets of a run as one file that runs without imjax: StableHLO with the weights inside."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export

from imjax.errors import UserError
from imjax.inference.load_run import LoadedRun
from imjax.ops import ensemble

PLATFORMS = ("cpu", "cuda", "tpu")


def exported(stage: LoadedRun, nets: int) -> bytes:
    """Mean probability of the best nets, serialized.

    The artifact takes uint8 `[b, h, w, c]`, h and w as in training and b any number, and gives float32
    `[b, h, w, k]`: softmax (multiclass) or sigmoid. The class that nets reserve for inconsistent pixels is
    left out, so that k are the dataset's own classes in their order.

    Args:
        stage: whose nets.
        nets: how many, best on val first.
    """
    spec, first = stage.spec, int(stage.spec.reserved)
    model = stage.predictor.model
    # `auto` is meant for the machine at hand, and the file is for any.
    model = dataclasses.replace(model, dtype="float32" if model.dtype == "auto" else model.dtype)
    predictor = dataclasses.replace(stage.predictor, model=model)
    net, variables = predictor.unet(stage.alpha, stage.auxiliaries), stage.nets(nets)
    each = [jax.tree.map(lambda leaf: leaf[i], variables) for i in range(nets)]  # noqa: B023

    def function(images):
        said = [ensemble.probabilities(spec.kind, net.apply(one, images)) for one in each]
        return jnp.mean(jnp.stack(said), 0)[..., first:]

    (batch,) = export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((batch, *stage.size, spec.channels), jnp.uint8)
    return bytes(export.export(jax.jit(function), platforms=PLATFORMS)(images).serialize())


def write(stage: LoadedRun, nets: int, path: Path) -> None:
    """Write `exported` to a file; UserError if that is not possible."""
    data = exported(stage, nets)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise UserError(f"--export={path}: cannot be written: {error.strerror}") from error
