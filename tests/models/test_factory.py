"""Backbones by name."""

import dataclasses

import jax.numpy as jnp
from user_errors import raises_user_error

from imjax.config.schema import BACKBONES as BACKBONE_NAMES
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode
from imjax.models.encoder_unet import EncoderUNet
from imjax.models.factory import BACKBONES, create_backbone, create_evalnet, resolve_dtype
from imjax.models.unet import UNet
from imjax.models.unet_dropout import UNetDropout

SPEC = DatasetSpec("toy", "Toy", "multiclass", ("a", "b", "c"), ((0, 0, 0),) * 3)


def test_every_backbone_takes_the_settings_of_the_configuration(demo_config):
    made = {
        name: create_backbone(dataclasses.replace(demo_config.model, backbone=name, width=0.5), SPEC, 2)
        for name in BACKBONES
    }
    assert isinstance(made["unet_residual"], UNet) and made["unet_residual"].width == 0.5
    assert isinstance(made["unet_dropout"], UNetDropout)
    assert made["unet_dropout"].features == tuple(int(n * 0.5) for n in demo_config.model.features)
    assert isinstance(made["efficientnet_lite2"], EncoderUNet) and made["efficientnet_lite2"].width == 0.5
    assert set(made) == set(BACKBONE_NAMES)
    for net in made.values():
        assert net.outputs == 3 and net.auxiliaries == 2 and net.momentum == demo_config.model.momentum


def test_unknown_backbones_are_named_with_the_known_ones(demo_config):
    with raises_user_error(ErrorCode.UNKNOWN, "model.backbone") as info:
        create_backbone(dataclasses.replace(demo_config.model, backbone="resnet"), SPEC)
    assert "'unet_residual' or 'unet_dropout'" in str(info.value)


def test_evalnet_is_of_the_dataset_and_the_precision(demo_config):
    net = create_evalnet(dataclasses.replace(demo_config.model, width=2.0, dtype="bfloat16"), SPEC)
    assert (net.kind, net.outputs, net.width, net.dtype) == ("multiclass", 3, 2.0, jnp.bfloat16)
    assert resolve_dtype("float32") == jnp.float32
