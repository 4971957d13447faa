"""A U-Net's decoder on an encoder: parameters by hand, sizes, hooks and auxiliary predictions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.models.efficientnet import VARIANTS
from imjax.models.encoder_unet import EncoderUNet, UpsampledConv

LITE0 = VARIANTS["efficientnet_lite0"]
NET = EncoderUNet(3, LITE0, 0.25)
QUICK = {"xla_backend_optimization_level": 0}


def shapes_of(net, images):
    return jax.eval_shape(lambda: net.init(jax.random.key(0), images))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameter_count_by_hand():
    # Stage a→f, no biases: 9af + 9ff + 4f; a is what comes from below and the skip.
    # 320+112→256  995 328 + 589 824 + 1024    256+40→128  340 992 + 147 456 + 512
    # 128+24→64     87 552 +  36 864 +  256     64+16→32    23 040 +   9 216 + 128
    # 32→16          4 608 +   2 304 +   64; head 16→3 3×3: 432 + 3
    decoder = 1_586_176 + 488_960 + 124_672 + 32_384 + 6_976 + 435
    params = shapes_of(EncoderUNet(3, LITE0), jnp.zeros((1, 32, 32, 3), jnp.uint8))["params"]
    assert count(params["UNetDecoder_0"]) == decoder == 2_239_603
    assert count(params) == decoder + 2_958_848
    assert set(params) == {"backbone", "UNetDecoder_0"}


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("sides", [(16, 16), (48, 80), (33, 50)])
def test_logits_have_the_size_of_the_image(sides, channels):
    images = jnp.zeros((2, *sides, channels), jnp.uint8)
    variables = shapes_of(NET.copy(dtype=jnp.bfloat16), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    net = NET.copy(dtype=jnp.bfloat16)
    logits, taps = jax.eval_shape(lambda v: net.apply(v, images, mutable=["taps"]), variables)
    assert logits.shape == (2, *sides, 3) and logits.dtype == jnp.float32
    assert taps["taps"]["decoder"].shape == (2, *sides, 4)
    assert taps["taps"]["encoder"].shape == (2, *(-(-side // 32) for side in sides), 320)


@pytest.fixture(scope="module")
def variables(start):
    return start(NET.copy(auxiliaries=1), IMAGES)


IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 32, 16, 3), np.uint8))


def test_hooks_and_auxiliary_decoders(variables):
    net = NET.copy(auxiliaries=1)

    def twice(features):
        return [jnp.concatenate([x, 0 * x]) for x in features]

    def run(v, images):
        (logits, (other,)), _ = net.apply(
            v, images, True, hook=twice, perturb=(lambda f: f,), mutable=["batch_stats"]
        )
        plain, _ = net.apply(v, images, True, mutable=["batch_stats"])
        return logits, other, plain

    logits, other, plain = jax.jit(run, compiler_options=QUICK)(variables, IMAGES)
    assert logits.shape == (4, 32, 16, 3) and other.shape == plain.shape == (2, 32, 16, 3)
    assert np.isfinite(logits).all() and not np.allclose(other, plain)


def test_scales_of_the_pyramid_have_the_size_of_the_image():
    net, images = NET.copy(auxiliaries=3, pyramid=True), jnp.zeros((1, 48, 32, 3), jnp.uint8)
    logits, others = jax.eval_shape(
        lambda v: net.apply(v, images, perturb=(lambda f: f,) * 3), shapes_of(net, images)
    )
    assert [x.shape for x in (logits, *others)] == [(1, 48, 32, 3)] * 4


@pytest.mark.parametrize(("size", "skip_channels"), [((16, 16), 0), ((16, 16), 3), ((15, 16), 3)])
def test_the_decoder_convolves_features_before_or_after_it_upsamples_them(size, skip_channels):
    """`auto` and `direct` have the same weights, and the same results and gradients up to rounding."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 8, 8, 5)), jnp.float32)
    skip = jnp.asarray(rng.normal(size=(2, *size, skip_channels)), jnp.float32) if skip_channels else None
    nets = [UpsampledConv(4, jnp.float32, name) for name in ("auto", "direct")]
    weights = [net.init(jax.random.key(0), x, skip, size) for net in nets]
    jax.tree.map(np.testing.assert_array_equal, *weights)

    def squares(net):
        def loss(variables, *inputs):
            out = net.apply(variables, *inputs, size)
            return jnp.square(out).sum(), out

        inputs = (0, 1) if skip is None else (0, 1, 2)
        return jax.jit(jax.grad(loss, inputs, has_aux=True), compiler_options=QUICK)

    found, wanted = (squares(net)(weights[0], x, skip) for net in nets)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3), found, wanted)
