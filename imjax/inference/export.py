"""The nets of a run as one file that runs without imjax; the file's suffix says the format.

A new format is a function like `_write_stablehlo` and a line in `FORMATS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from imjax.config.schema import Data
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, UserError, file_error
from imjax.inference import export_onnx, export_zoo
from imjax.inference.export_sidecar import describe_nets
from imjax.inference.net_functions import EnsembleProbabilities
from imjax.json_io import write_json
from imjax.models.convolution import BY_PLATFORM
from imjax.models.network import Network

PLATFORMS = ("cpu", "cuda", "tpu")


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """What is exported."""

    name: str
    """Of the stage that trained the nets."""
    net: Network
    """The module of every net."""
    members: tuple[Any, ...]
    """Variables of each net."""
    spec: DatasetSpec
    inputs: Data
    """How images came to the nets."""

    def probabilities(self, images: jax.Array) -> jax.Array:
        """Mean probability of the nets for the dataset's own classes.

        Args:
            images: uint8, or float in 0..1, `[b, h, w, c]`.

        Returns:
            float32 `[b, h, w, k]`: softmax (multiclass) or sigmoid. The class that nets reserve for
            inconsistent pixels is left out, so that k are the dataset's own classes in their order.
        """
        function = EnsembleProbabilities(self.net, self.spec.kind)
        return function(self.members, {"image": images})[..., int(self.spec.reserved) :]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return (*self.inputs.size, self.spec.channels)


@dataclasses.dataclass(frozen=True)
class Format:
    """A kind of file."""

    name: str
    convolution: str
    """Of the exported nets whose configuration leaves it to the platform, see `choose_convolution`."""
    write: Callable[[Path, Ensemble, dict[str, Any]], None]
    """(file, nets, contents of the sidecar)."""
    keeps_settings: bool = False
    """Whether a net's own `model.convolution` and `model.dtype` count."""


def _write_stablehlo(path: Path, ensemble: Ensemble, facts: dict[str, Any]) -> None:
    path.write_bytes(serialize_stablehlo(ensemble))


def _write_onnx(path: Path, ensemble: Ensemble, facts: dict[str, Any]) -> None:
    path.write_bytes(export_onnx.convert(ensemble.probabilities, ensemble.shape, jnp.uint8))


def _write_zoo_package(path: Path, ensemble: Ensemble, facts: dict[str, Any]) -> None:
    export_zoo.write_package(path, ensemble.probabilities, ensemble.spec, ensemble.inputs, facts)


FORMATS = {
    ".stablehlo": Format("stablehlo", BY_PLATFORM, _write_stablehlo, keeps_settings=True),
    # Others than XLA have fast kernels for convolutions as they are, grouped ones too.
    ".onnx": Format("onnx", "direct", _write_onnx),
    ".zip": Format("bioimageio", "direct", _write_zoo_package),
}
"""By suffix."""


def choose_format(path: Path) -> Format:
    """The format of a file by its suffix; UserError where none has it."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise UserError(
            f"export to {path}: the suffix {path.suffix!r} is of no format; expected .onnx (ONNX), "
            ".stablehlo (JAX) or .zip (BioImage Model Zoo)",
            code=ErrorCode.UNKNOWN,
            field=path,
        ) from None


def write(path: Path, ensemble: Ensemble) -> None:
    """Write nets in the format of the file's suffix, and beside it a `.json` that says how to use them.

    Raises:
        UserError: no format has the suffix, its package is not installed, or a file cannot be written.
    """
    chosen = choose_format(path)
    facts = describe_nets(ensemble.name, chosen.name, len(ensemble.members), ensemble.spec, ensemble.inputs)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        chosen.write(path, ensemble, facts)
        write_json(path.with_suffix(".json"), facts)
    except OSError as error:
        raise file_error(
            path, f"the exported net cannot be written: {error.strerror}", ErrorCode.UNWRITABLE
        ) from error


def serialize_stablehlo(ensemble: Ensemble) -> bytes:
    """`Ensemble.probabilities` of uint8 images as an artifact of `jax.export`, for any number of images.

    It runs on all of `PLATFORMS`, with the kernels that are fast there if the nets' convolutions are
    `convolution.BY_PLATFORM`.
    """
    (batch,) = export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((batch, *ensemble.shape), jnp.uint8)
    function = jax.jit(ensemble.probabilities)
    return bytes(export.export(function, platforms=PLATFORMS)(images).serialize())
