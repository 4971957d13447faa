"""Nets from a configuration: the one place that knows the backbones by name.

A new backbone is a module of `imjax.models` and a line in `BACKBONES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from imjax.config.schema import Model
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, UserError
from imjax.models import efficientnet, imagenet
from imjax.models.encoder_unet import EncoderUNet
from imjax.models.evalnet import EvalNet
from imjax.models.network import ENCODER
from imjax.models.unet import UNet
from imjax.models.unet_dropout import UNetDropout


def create_backbone(model: Model, spec: DatasetSpec, auxiliaries: int = 0) -> nn.Module:
    """The segmentation net of a configuration, without weights.

    It maps uint8 images `[b, h, w, c]`, of volumes `[b, d, h, w, c]`, to float32 logits with
    `spec.outputs` channels.

    Args:
        model: backbone, width, dropout, precision and the like.
        spec: number of outputs and of spatial axes.
        auxiliaries: decoders beside the main one, or heads (see `Model.auxiliary`), for training: CCT, UAPS,
            URPC; 0 in all other methods.

    Raises:
        UserError: unknown backbone.
    """
    if model.backbone not in BACKBONES:
        known = " or ".join(map(repr, BACKBONES))
        raise UserError(
            f"config key 'model.backbone' is {model.backbone!r}; expected {known}",
            code=ErrorCode.UNKNOWN,
            field="model.backbone",
        )
    shared = {
        "auxiliaries": auxiliaries, "momentum": model.momentum, "dtype": resolve_dtype(model.dtype),
        "convolution": model.convolution, "pyramid": model.auxiliary == "scales",
    }  # fmt: skip
    return BACKBONES[model.backbone](model, spec, shared)


def load_imagenet_weights(model: Model, spec: DatasetSpec) -> dict[str, Any]:
    """Weights of the backbone's encoder from ImageNet, as a part of the variables of `create_backbone`'s net.

    Args:
        model: whose backbone has an encoder.
        spec: number of channels.

    Returns:
        numpy trees `params` and `batch_stats`; the decoder is not in them.

    Raises:
        UserError: the package with the weights is not installed, or cannot be read.
    """
    encoder = imagenet.load_encoder(model.backbone, spec.channels)
    return {collection: {ENCODER: tree} for collection, tree in encoder.items()}


def check_imagenet_weights(model: Model) -> None:
    """UserError where the package that `load_imagenet_weights` reads is not installed."""
    imagenet.find_file(model.backbone)


def create_evalnet(model: Model, spec: DatasetSpec) -> EvalNet:
    """The net that scores pairs of image and mask (methods.md 1.6), without weights.

    Args:
        model: width, precision and the like; EvalNet is the same for every backbone.
        spec: kind and number of the masks' classes.
    """
    dtype = resolve_dtype(model.dtype)
    return EvalNet(spec.kind, spec.outputs, model.width, model.momentum, dtype, model.convolution)


def resolve_dtype(name: str) -> Any:
    """`auto` → bfloat16 on accelerators, float32 on CPU; else the named type."""
    if name == "auto":
        name = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(name)


def _create_unet(model: Model, spec: DatasetSpec, shared: dict[str, Any]) -> nn.Module:
    return UNet(spec.outputs, model.width, model.dropout, **shared)


def _create_unet_dropout(model: Model, spec: DatasetSpec, shared: dict[str, Any]) -> nn.Module:
    # Only this backbone has 3-D layers: `constraints` refuses volumes with the others.
    features = tuple(int(base * model.width) for base in model.features)
    return UNetDropout(spec.outputs, features, model.dropouts, spec.dims, **shared)


def _create_encoder_unet(model: Model, spec: DatasetSpec, shared: dict[str, Any]) -> nn.Module:
    scaling = efficientnet.VARIANTS[model.backbone]
    return EncoderUNet(spec.outputs, scaling, model.width, model.dropout, **shared)


BACKBONES: dict[str, Callable[[Model, DatasetSpec, dict[str, Any]], nn.Module]] = {
    "unet_residual": _create_unet,
    "unet_dropout": _create_unet_dropout,
    **dict.fromkeys(efficientnet.VARIANTS, _create_encoder_unet),
}
"""Name of `config.model.backbone` → how to make it; the last argument is what all of them take."""
