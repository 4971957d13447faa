"""Networks: numbers of parameters, upsampling and initial weights (methods.md 1.4 and 2)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.models.evalnet import EvalNet
from imjax.models.layers import upsample_linear
from imjax.models.unet import UNet
from imjax.models.unet_dropout import UNetDropout


def count(net, *inputs):
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), *inputs))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


def conv(size, inputs, outputs):
    """Parameters of a convolution with bias."""
    return size * size * inputs * outputs + outputs


def block(inputs, middle, outputs):
    """C(3, middle) C(1, outputs) BN."""
    return conv(3, inputs, middle) + conv(1, middle, outputs) + 2 * outputs


def unet_parameters(channels, outputs, alpha):
    """Counted from the listing in methods.md 1.4."""
    w = {base: int(base * alpha) for base in (16, 32, 64, 128, 256)}
    total, last = conv(1, channels, w[16]) + 2 * w[16], w[16]
    for base in (16, 32, 64, 128):
        total += block(last, w[base], w[base])
        last = w[base]
    total += block(last, w[256], w[128])
    for base, after in ((128, 64), (64, 32), (32, 16), (16, 16)):
        total += conv(1, w[base], w[base]) + 2 * w[base] + block(w[base], w[base], w[after])
    return total + conv(1, w[16], outputs)


def evalnet_parameters(channels, planes, heads, alpha):
    w = {base: int(base * alpha) for base in (16, 32, 64, 128, 256)}
    total = sum(conv(1, n, w[16]) + 2 * w[16] + block(w[16], w[16], w[16]) for n in (channels, planes))
    last = 2 * w[16]
    for base in (16, 32, 64, 128, 256):
        total += block(last, w[base], w[base])
        last = w[base]
    return total + sum(conv(1, last, n) for n in heads)


# Input channels, outputs, and the published widths: ISIC 2018, HeLa, SUIM, Cityscapes.
UNETS = [(3, 1, a) for a in (0.5, 0.75, 1.0, 1.25, 1.5)] + [
    (channels, outputs, a)
    for channels, outputs in ((1, 3), (3, 9), (3, 35))
    for a in (1.0, 1.25, 1.5, 1.75, 2.0)
]


@pytest.mark.parametrize(("channels", "outputs", "alpha"), UNETS)
def test_parameters_of_the_study_unet(channels, outputs, alpha):
    images = jnp.zeros((1, 32, 32, channels), jnp.uint8)
    assert count(UNet(outputs, alpha), images) == unet_parameters(channels, outputs, alpha)


def test_published_parameters():
    # "About 0.68 M" for α = 1 and 9 outputs; 0.17 M to 2.72 M over the widths.
    published = {1.0: 680_313, 0.5: 0.17e6, 2.0: 2.7e6}
    found = {alpha: unet_parameters(3, 9, alpha) for alpha in published}
    assert found == pytest.approx(published, rel=0.02) and found[1.0] == 680_313


@pytest.mark.parametrize(
    ("kind", "channels", "planes", "outputs", "alpha"),
    [("binary", 3, 1, 1, 1.0), ("multilabel", 1, 3, 3, 2.0), ("multiclass", 3, 9, 9, 2.0)]
    + [("multiclass", 3, 35, 35, 2.0)],
)
def test_parameters_of_evalnet(kind, channels, planes, outputs, alpha):
    images = jnp.zeros((1, 64, 64, channels), jnp.uint8)
    masks = jnp.zeros((1, 64, 64, planes) if kind == "multilabel" else (1, 64, 64), jnp.uint8)
    heads = (1,) if kind == "binary" else (outputs, outputs)
    expected = evalnet_parameters(channels, planes, heads, alpha)
    assert count(EvalNet(kind, outputs, alpha), images, masks) == expected


def test_parameters_of_the_benchmark_unet():
    # The "1.81 M" of the literature; with transposed convolutions and a 1×1 head it had 1 943 812.
    assert count(UNetDropout(4), jnp.zeros((1, 16, 16, 1), jnp.uint8)) == 1_813_764


# One axis, and what its doubling has: places j·(n − 1)/(2n − 1).
DOUBLED = [
    ([5.0], [5, 5]),
    ([0.0, 3.0], [0, 1, 2, 3]),
    ([0.0, 5.0, 0.0], [0, 2, 4, 4, 2, 0]),
]


@pytest.mark.parametrize(("row", "doubled"), DOUBLED)
def test_bilinear_upsampling_keeps_the_corners(row, doubled):
    x = jnp.asarray(row)[None, :, None]
    np.testing.assert_allclose(upsample_linear(x)[0, :, 0], doubled, atol=1e-6)


def test_head_of_the_benchmark_unet_is_3x3():
    net, images = UNetDropout(4), jnp.zeros((1, 16, 16, 1), jnp.uint8)
    decoder = jax.eval_shape(lambda: net.init(jax.random.key(0), images))["params"]["Decoder_0"]
    assert decoder["Conv_0"]["kernel"].shape == (3, 3, 16, 4)
    # 1×1 before the upsampling, from each stage to the next shallower one.
    assert [decoder[f"Up_{i}"]["Dense_0"]["kernel"].shape for i in range(4)] == [
        (256, 128),
        (128, 64),
        (64, 32),
        (32, 16),
    ]


def spread(kernel):
    return float(np.std(kernel)), float(np.abs(kernel).max())


def test_heads_start_as_published():
    # U-Net: He-normal, standard deviation √(2/16) = .354. EvalNet: Glorot-uniform within
    # √(6/(64 + 9)) = .287, whose standard deviation is .166.
    images, masks = jnp.zeros((1, 64, 64, 3), jnp.uint8), jnp.zeros((1, 64, 64), jnp.uint8)
    quick = {"xla_backend_optimization_level": 0}
    unet = jax.jit(UNet(64).init, compiler_options=quick)(jax.random.key(0), images)["params"]
    assert spread(unet["Dense_0"]["kernel"])[0] == (pytest.approx(0.354, rel=0.1))
    evalnet = jax.jit(EvalNet("multiclass", 9, 0.25).init, compiler_options=quick)
    heads = evalnet(jax.random.key(0), images, masks)["params"]
    for name in ("iou", "detection"):
        deviation, largest = spread(heads[name]["kernel"])
        assert deviation == pytest.approx(0.166, rel=0.1) and 0.26 < largest <= 0.287
