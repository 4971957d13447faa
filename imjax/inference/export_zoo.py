"""Nets as a package of the BioImage Model Zoo, for ilastik, deepImageJ and QuPath.

A zip file of ONNX weights, a test image with its expected output, and a description of the model by
bioimageio.spec: https://bioimage.io/docs/#/guides/developers-guide.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from imjax.config.schema import Data
from imjax.data import intensity
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, UserError
from imjax.inference import export_onnx
from imjax.inference.export_sidecar import channel_names
from imjax.json_io import write_json

LICENSE = "CC-BY-4.0"
"""Of the package: what the zoo recommends. Whoever publishes it decides."""
PAPER = ("Vorndran & Roeck, Inconsistency Masks, 2024", "https://arxiv.org/abs/2401.14387")
EPSILON = 1e-6
"""Of the zoo's `scale_range`."""


def write_package(
    path: Path,
    probabilities: Callable[[jax.Array], jax.Array],
    spec: DatasetSpec,
    data: Data,
    facts: dict[str, Any],
) -> None:
    """Write a zip file that the programs of the zoo load.

    Args:
        path: the file, replaced.
        probabilities: float32 `[b, h, w, c]` in 0..1 → `[b, h, w, k]`.
        spec, data: of the run.
        facts: contents of the sidecar, which is added to the package.

    Raises:
        UserError: bioimageio.spec, jax2onnx or onnxruntime is not installed.
        OSError: the file cannot be written.
    """
    package = _load_package_writer()

    def function(images: jax.Array) -> jax.Array:
        levels = jnp.moveaxis(images, 1, -1) / 255
        return jnp.moveaxis(probabilities(levels), -1, 1)

    shape = (spec.channels, *data.size)
    weights = export_onnx.convert(function, shape, np.float32)
    raw = _draw_test_image(shape, spec)
    expected = jax.jit(function)(jnp.asarray(_preprocess(raw, spec, data)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "weights.onnx").write_bytes(weights)
        np.save(folder / "test_input.npy", raw)
        np.save(folder / "test_output.npy", np.asarray(expected))
        (folder / "README.md").write_text(_document(spec, data, facts), encoding="utf-8")
        write_json(folder / "imjax.json", facts)
        description = _describe_model(folder, spec, data, facts)
        shutil.move(package(description, output_path=folder / "package.zip"), path)


def _load_package_writer() -> Callable:
    try:
        from bioimageio.spec import save_bioimageio_package
    except ImportError as error:
        raise UserError(
            f"export to the BioImage Model Zoo needs bioimageio.spec ({error}); install it by pip install "
            "'imjax[bioimageio]'",
            code=ErrorCode.MISSING,
            field="bioimageio",
        ) from error
    return save_bioimageio_package


def _describe_model(folder: Path, spec: DatasetSpec, data: Data, facts: dict[str, Any]) -> Any:
    """The zoo's description of the files in the folder."""
    from bioimageio.spec import common
    from bioimageio.spec.model import v0_5 as zoo

    def file(name: str) -> common.FileDescr:
        return common.FileDescr(source=folder / name)

    batch = zoo.BatchAxis()
    axes = [zoo.SpaceInputAxis(id=zoo.AxisId(a), size=n) for a, n in zip("yx", data.size, strict=True)]
    image = zoo.InputTensorDescr(
        id=zoo.TensorId(export_onnx.INPUT),
        axes=[batch, zoo.ChannelAxis(channel_names=channel_names(spec)), *axes],
        data=zoo.IntervalOrRatioDataDescr(type="float32"),
        preprocessing=_describe_preprocessing(spec, data),
        test_tensor=file("test_input.npy"),
    )
    sides = [
        zoo.SpaceOutputAxis(id=a.id, size=zoo.SizeReference(tensor_id=image.id, axis_id=a.id)) for a in axes
    ]
    classes = [entry["name"] for entry in facts["classes"]]
    output = zoo.OutputTensorDescr(
        id=zoo.TensorId(export_onnx.OUTPUT),
        axes=[batch, zoo.ChannelAxis(channel_names=classes), *sides],
        data=zoo.IntervalOrRatioDataDescr(type="float32", range=(0.0, 1.0)),
        test_tensor=file("test_output.npy"),
    )
    text, url = PAPER
    onnx = zoo.OnnxWeightsDescr(source=folder / "weights.onnx", opset_version=export_onnx.OPSET)
    return zoo.ModelDescr(
        name=_name(f"imjax {spec.title}"),
        description=f"Segments {', '.join(classes)}; trained by imjax {facts['imjax']}"[:1024],
        authors=[zoo.Author(name="imjax")],
        cite=[zoo.CiteEntry(text=text, url=common.HttpUrl(url))],
        license=zoo.LicenseId(LICENSE),
        tags=["semantic-segmentation", "imjax"],
        documentation=file("README.md"),
        attachments=[file("imjax.json")],
        inputs=[image],
        outputs=[output],
        weights=zoo.WeightsDescr(onnx=onnx),
    )


def _name(title: str) -> str:
    """The title with what the zoo allows in names: letters, digits, and some marks."""
    return "".join(c if c.isalnum() or c in "_+-() " else " " for c in title)[:128].strip()


def _describe_preprocessing(spec: DatasetSpec, data: Data) -> list[Any]:
    """What brings an image's values to 0..255 as in training; nothing where they are bytes already."""
    from bioimageio.spec.model import v0_5 as zoo

    steps: list[Any] = []
    if spec.value_limits:
        gain, offset = _limits_to_line(spec)
        along = zoo.ScaleLinearAlongAxisKwargs(
            axis=zoo.AxisId("channel"), gain=gain.tolist(), offset=offset.tolist()
        )
        steps += [zoo.ScaleLinearDescr(kwargs=along), _clip(zoo)]
    if data.percentile_normalize:
        low, high = intensity.PERCENTILES
        axes = [zoo.AxisId(name) for name in ("channel", "y", "x")]
        wanted = zoo.ScaleRangeKwargs(axes=axes, min_percentile=low, max_percentile=high, eps=EPSILON)
        steps.append(zoo.ScaleRangeDescr(kwargs=wanted))
        steps.append(zoo.ScaleLinearDescr(kwargs=zoo.ScaleLinearKwargs(gain=255.0)))
        steps.append(_clip(zoo))
    return steps


def _clip(zoo: Any) -> Any:
    return zoo.ClipDescr(kwargs=zoo.ClipKwargs(min=0.0, max=255.0))


def _limits_to_line(spec: DatasetSpec) -> tuple[np.ndarray, np.ndarray]:
    """Factor and summand of each channel by which its limits become 0 and 255."""
    low, high = np.array(spec.value_limits, np.float64).T
    gain = 255 / np.maximum(high - low, 1e-9)
    return gain, -low * gain


def _preprocess(raw: np.ndarray, spec: DatasetSpec, data: Data) -> np.ndarray:
    """What `_describe_preprocessing` says, of `[b, c, h, w]`."""
    values = raw
    if spec.value_limits:
        gain, offset = (a[:, None, None] for a in _limits_to_line(spec))
        values = np.clip(values * gain + offset, 0, 255)
    if data.percentile_normalize:
        low, high = np.percentile(values, intensity.PERCENTILES)
        values = np.clip(255 * (values - low) / (high - low + EPSILON), 0, 255)
    return values.astype(np.float32)


def _draw_test_image(shape: tuple[int, int, int], spec: DatasetSpec) -> np.ndarray:
    """float32 `[1, c, h, w]` of noise, from a little below to a little above the values of images.

    A run's nets have no image with them.
    """
    noise = np.random.default_rng(0).uniform(-0.05, 1.05, (1, *shape))
    if not spec.value_limits:
        return (255 * np.clip(noise, 0, 1)).round().astype(np.float32)
    low, high = (side[:, None, None] for side in np.array(spec.value_limits).T)
    return (low + noise * (high - low)).astype(np.float32)


def _document(spec: DatasetSpec, data: Data, facts: dict[str, Any]) -> str:
    """README.md of the package."""
    first = {"tile": "in tiles", "pad": "centered in a frame", "resize": "resized"}[facts["fit"]]
    rule = (
        "the class of a pixel is that of the largest probability"
        if facts["decision"] == "argmax"
        else f"a pixel is of a class whose probability is above {facts['threshold']}"
    )
    lines = [f"{c['channel']}: {c['name']}" for c in facts["classes"]]
    return "\n".join(
        [
            f"# {spec.title}",
            "",
            f"{facts['nets']} net(s) trained by imjax {facts['imjax']}, stage {facts['stage']}; `imjax.json` "
            "has the details.",
            "",
            f"Images come {first}, {data.width}×{data.height} pixels (w×h), channels "
            f"{', '.join(channel_names(spec))}, gray levels 0..255 unless the preprocessing scales them.",
            f"The output has one probability for each class and pixel; {rule}.",
            "",
            "## Classes",
            "",
            *(f"- {line}" for line in lines),
            "",
            "## Validation",
            "",
            "Compare masks of images that were in no training set with masks drawn by hand; the report of "
            "the run has the figures on its test images.",
            "",
        ]
    )
