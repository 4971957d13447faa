"""Functions of images as ONNX, by jax2onnx, and compared with JAX by onnxruntime."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from imjax.errors import ErrorCode, TrainingError, UserError

OPSET, IR_VERSION = 17, 8
"""Of 2022: what programs that embed an older onnxruntime still read."""
INPUT, OUTPUT = "images", "probabilities"
"""Names in the graph."""
TOLERANCE = 1e-4
"""Largest mean difference of the probabilities from JAX's. Rounding gives 1e-6; of nets whose logits are in
the thousands, more in single pixels."""


def convert(function: Callable[[jax.Array], jax.Array], shape: tuple[int, ...], dtype: Any) -> bytes:
    """A function of a batch of images as an ONNX model with all weights inside.

    Args:
        function: `[b, *shape]` → `[b, ...]`, of convolutions as they are (`model.convolution=direct`).
        shape: of an image; the number of images stays open.
        dtype: of the images: uint8, or float32 with gray levels of 0..255.

    Raises:
        UserError: jax2onnx or onnxruntime is not installed.
        TrainingError: onnxruntime gives other numbers than JAX.
    """
    to_onnx = _load_converter()
    (batch,) = export.symbolic_shape("b")
    with _silenced():
        model = to_onnx(
            function, [jax.ShapeDtypeStruct((batch, *shape), dtype)], model_name="imjax", opset=OPSET,
            input_names=[INPUT], output_names=[OUTPUT],
        )  # fmt: skip
    model.ir_version = IR_VERSION
    data = model.SerializeToString()
    _check(function, data, shape, dtype)
    return data


def run(data: bytes, images: np.ndarray) -> np.ndarray:
    """What onnxruntime gives for a batch, on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run([OUTPUT], {INPUT: images})[0]


def _check(function: Callable, data: bytes, shape: tuple[int, ...], dtype: Any) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(dtype)
    # Else a GPU rounds the factors of a product to ten bits.
    with jax.default_matmul_precision("highest"):
        expected = np.asarray(jax.jit(function)(jnp.asarray(images)))
    difference = float(np.abs(run(data, images) - expected).mean())
    if not difference <= TOLERANCE:
        raise TrainingError(
            f"onnxruntime's probabilities differ from JAX's by {difference:g}, expected at most "
            f"{TOLERANCE:g}; export to .stablehlo instead, and report this"
        )


def _load_converter() -> Callable:
    try:
        # It replaces functions of flax while it converts, and loads libraries that nothing else needs.
        with _silenced():
            import onnxruntime  # noqa: F401
            from jax2onnx import to_onnx
    except ImportError as error:
        raise UserError(
            f"export to ONNX needs jax2onnx and onnxruntime ({error}); install them by pip install "
            "'imjax[onnx]', or export to .stablehlo",
            code=ErrorCode.MISSING,
            field="onnxruntime",
        ) from error
    return to_onnx


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Without what jax2onnx prints of each convolution, and onnx_ir's warnings of shapes it does not need."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
