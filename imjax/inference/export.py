"""The nets of a run as one file that runs without imjax: StableHLO with the weights inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import export

from imjax.data.spec import DatasetSpec
from imjax.errors import UserError
from imjax.models.layers import BY_PLATFORM
from imjax.ops import ensemble

PLATFORMS = ("cpu", "cuda", "tpu")


def serialize_ensemble(net: nn.Module, variables: Any, spec: DatasetSpec, size: tuple[int, int]) -> bytes:
    """Mean probability of an ensemble, serialized.

    The artifact takes uint8 `[b, h, w, c]`, h and w as in training and b any number, and gives float32
    `[b, h, w, k]`: softmax (multiclass) or sigmoid. The class that nets reserve for inconsistent pixels is
    left out, so that k are the dataset's own classes in their order. It runs on all of `PLATFORMS`, with the
    kernels that are fast there.

    Args:
        net: the module of every member.
        variables: of the members, numpy leaves `[member, ...]`.
        spec: of the dataset.
        size: height and width of the images.
    """
    # `auto` chooses for the machine at hand, and the file is for any: it holds each platform's kernels.
    net = net.clone(convolution=BY_PLATFORM) if net.convolution == "auto" else net
    members, first = len(jax.tree.leaves(variables)[0]), int(spec.reserved)
    each = [jax.tree.map(lambda leaf: leaf[i], variables) for i in range(members)]  # noqa: B023

    def function(images):
        said = [ensemble.probabilities(spec.kind, net.apply(one, images)) for one in each]
        return jnp.mean(jnp.stack(said), 0)[..., first:]

    (batch,) = export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((batch, *size, spec.channels), jnp.uint8)
    return bytes(export.export(jax.jit(function), platforms=PLATFORMS)(images).serialize())


def write_file(path: Path, data: bytes) -> None:
    """Write `serialize_ensemble`'s bytes; UserError if that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise UserError(f"{path}: the exported net cannot be written: {error.strerror}") from error
