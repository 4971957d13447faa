"""U-Net: parameter count by hand, shapes, and what width and training change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.models.layers import max_pool, upsample
from imjax.models.unet import UNet

IMAGES = jnp.zeros((2, 32, 48, 3), jnp.uint8)


def shapes(net, images=IMAGES):
    return jax.eval_shape(lambda: net.init(jax.random.key(0), images))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameter_count_alpha_1():
    # conv k×k from a to f: k²·a·f + f; BN of f: scale and bias, 2f.
    # stem      3→16 1×1: 64                                            BN 32 →      96
    # encoder   16→16 3×3: 2320,  16→16 1×1: 272,     BN 32               →   2 624
    #           16→32 3×3: 4640,  32→32 1×1: 1056,    BN 64               →   5 760
    #           32→64 3×3: 18496, 64→64 1×1: 4160,    BN 128              →  22 784
    #           64→128 3×3: 73856, 128→128 1×1: 16512, BN 256             →  90 624
    # bottom    128→256 3×3: 295168, 256→128 1×1: 32896, BN 256           → 328 320
    # decoder   128→128 1×1: 16512, BN 256, 128→128 3×3: 147584, 128→64 1×1: 8256, BN 128 → 172 736
    #           64→64: 4160, 128, 36928, 64→32: 2080, 64                  →  43 360
    #           32→32: 1056, 64, 9248, 32→16: 528, 32                     →  10 928
    #           16→16: 272, 32, 2320, 16→16: 272, 32                      →   2 928
    # head      16→9 1×1: 153
    by_hand = 96 + 2624 + 5760 + 22784 + 90624 + 328320 + 172736 + 43360 + 10928 + 2928 + 153
    assert by_hand == 680_313  # published: about 0.68 M
    assert count(shapes(UNet(9))["params"]) == by_hand


def test_published_range_of_widths():
    low, high = (count(shapes(UNet(9, width))["params"]) for width in (0.5, 2.0))
    assert 0.165e6 < low < 0.175e6 and 2.68e6 < high < 2.76e6


@pytest.mark.parametrize("width", [0.25, 0.625])
def test_logits_have_the_size_of_the_image_and_are_float32(width):
    net = UNet(5, width, dtype=jnp.bfloat16)
    variables = shapes(net)
    logits = jax.eval_shape(net.apply, variables, IMAGES)
    assert logits.shape == (2, 32, 48, 5) and logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}


def test_training_moves_the_running_statistics_by_the_momentum(start):
    net = UNet(2, 0.25, momentum=0.75)
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8))
    variables = start(net, images)
    _, changed = net.apply(variables, images, train=True, mutable=["batch_stats"])
    # The stem's input to BN is known: ReLU of a product; its running mean starts at 0.
    kernel, bias = (np.asarray(variables["params"]["Conv_0"]["Dense_0"][n]) for n in ("kernel", "bias"))
    batch_mean = np.maximum(images / 255 @ kernel + bias, 0).mean((0, 1, 2))
    running = changed["batch_stats"]["Norm_0"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(running, 0.25 * batch_mean, rtol=1e-4, atol=1e-6)


def test_dropout_acts_in_training_only(start):
    net = UNet(2, 0.25, dropout=0.5)
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8))
    variables = start(net, images)
    outs = [
        net.apply(
            variables, images, train=True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(i)}
        )[0]
        for i in (0, 1)
    ]
    assert not np.allclose(*outs)
    np.testing.assert_array_equal(net.apply(variables, images), net.apply(variables, images))


def test_taps_and_hook():
    net = UNet(5, 0.25)
    variables = shapes(net)
    half = lambda features: [x[:1] for x in features]  # noqa: E731
    call = lambda v: net.apply(v, IMAGES, hook=half, mutable=["taps"])  # noqa: E731
    logits, sown = jax.eval_shape(call, variables)
    assert logits.shape == (1, 32, 48, 5)
    found = {name: leaf.shape for name, leaf in sown["taps"].items()}
    assert found == {"encoder": (2, 2, 3, 32), "decoder": (1, 32, 48, 4)}
    # Where nobody asks for them, they are not in the program.
    plain, tapped = (
        jax.make_jaxpr(lambda v, kinds=kinds: net.apply(v, IMAGES, mutable=kinds))(variables)
        for kinds in (["batch_stats"], ["batch_stats", "taps"])
    )
    assert len(tapped.out_avals) == len(plain.out_avals) + 2


def test_max_pool_against_a_loop_and_odd_sizes():
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype(np.float32)
    pooled = max_pool(jnp.asarray(x))
    assert pooled.shape == (2, 2, 3, 3)
    for i in range(2):
        for j in range(3):
            window = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            np.testing.assert_array_equal(pooled[:, i, j], window.max((1, 2)))


def test_upsample_repeats_each_pixel():
    x = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1)
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    np.testing.assert_array_equal(upsample(jnp.asarray(x))[0, :, :, 0], expected)


@pytest.mark.parametrize("name", ["products", "split_products", "direct"])
def test_every_way_to_convolve_gives_the_same_logits(start, name):
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 16, 32, 3), np.uint8))
    net = UNet(3, 0.25)
    variables = start(net, images)
    other = UNet(3, 0.25, convolution=name).apply(variables, images)
    np.testing.assert_allclose(other, net.apply(variables, images), atol=1e-4)
