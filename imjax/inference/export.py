"""The nets of a run as one file that runs without imjax: StableHLO with the weights inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, file_error
from imjax.inference.net_functions import EnsembleProbabilities
from imjax.models.network import Network

PLATFORMS = ("cpu", "cuda", "tpu")


def serialize_ensemble(net: Network, variables: Any, spec: DatasetSpec, size: tuple[int, int]) -> bytes:
    """Mean probability of an ensemble, serialized.

    The artifact takes uint8 `[b, h, w, c]`, h and w as in training and b any number, and gives float32
    `[b, h, w, k]`: softmax (multiclass) or sigmoid. The class that nets reserve for inconsistent pixels is
    left out, so that k are the dataset's own classes in their order. It runs on all of `PLATFORMS`,
    with the kernels that are fast there if the net's convolutions are `layers.BY_PLATFORM`.

    Args:
        net: the module of every member.
        variables: of the members, numpy leaves `[member, ...]`.
        spec: of the dataset.
        size: height and width of the images.
    """
    members, first = len(jax.tree.leaves(variables)[0]), int(spec.reserved)
    each = [jax.tree.map(lambda leaf: leaf[i], variables) for i in range(members)]  # noqa: B023

    def function(images):
        return EnsembleProbabilities(net, spec.kind)(each, {"image": images})[..., first:]

    (batch,) = export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((batch, *size, spec.channels), jnp.uint8)
    return bytes(export.export(jax.jit(function), platforms=PLATFORMS)(images).serialize())


def write_file(path: Path, data: bytes) -> None:
    """Write `serialize_ensemble`'s bytes; UserError if that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise file_error(
            path, f"the exported net cannot be written: {error.strerror}", ErrorCode.UNWRITABLE
        ) from error
