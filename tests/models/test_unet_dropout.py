"""The benchmark's U-Net: parameters by hand, shapes, members side by side, hooks and auxiliaries, taps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from imjax.models.layers import max_pool, scale_input, upsample_linear
from imjax.models.unet import UNet
from imjax.models.unet_dropout import UNetDropout

TINY = UNetDropout(3, (4, 6), (0.2, 0.4), auxiliaries=2)
IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 8, 12, 1), np.uint8))
QUICK = {"xla_backend_optimization_level": 0}


def run(net, variables, images, key=None, **options):
    """Logits and changed collections; training with dropout where there is a key."""
    kinds = {"mutable": ["batch_stats", "taps"], "train": key is not None, **options}
    apply = jax.jit(lambda v, x, k: net.apply(v, x, rngs={"dropout": k}, **kinds), compiler_options=QUICK)
    return apply(variables, images, jax.random.key(0) if key is None else key)


@pytest.fixture(scope="module")
def variables(start):
    return start(TINY, IMAGES)


def count(net, images):
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), images))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


def test_parameter_count_by_hand():
    # Stage a→f: 3×3 convolutions 9af + f and 9ff + f, BN 2f each: 9af + 9ff + 6f.
    # encoder   1→16    144 +   2304 +   96 =   2 544     16→32    4608 +   9216 +  192 =  14 016
    #          32→64  18432 +  36864 +  384 =  55 680     64→128  73728 + 147456 +  768 = 221 952
    #         128→256 294912 + 589824 + 1536 = 886 272
    # up 2f→f, 1×1: 2ff + f, then a stage 2f→f:
    # decoder 256→128   32768 + 128 =  32 896  and  294912 + 147456 + 768 = 443 136
    #         128→64     8192 +  64 =   8 256  and   73728 +  36864 + 384 = 110 976
    #          64→32     2048 +  32 =   2 080  and   18432 +   9216 + 192 =  27 840
    #          32→16      512 +  16 =     528  and    4608 +   2304 +  96 =   7 008
    # head      16→4 3×3: 576 + 4 = 580
    encoder = 2544 + 14016 + 55680 + 221952 + 886272
    decoder = 32896 + 443136 + 8256 + 110976 + 2080 + 27840 + 528 + 7008 + 580
    images = jnp.zeros((1, 16, 16, 1), jnp.uint8)
    assert count(UNetDropout(4), images) == encoder + decoder == 1_813_764
    assert count(UNetDropout(4, auxiliaries=1), images) == encoder + 2 * decoder


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(("dims", "sides"), [(2, (16, 32)), (3, (16, 32, 16))])
def test_logits_have_the_size_of_the_image_and_are_float32(dims, sides, dtype):
    net, images = UNetDropout(2, dims=dims, dtype=dtype), jnp.zeros((2, *sides, 1), jnp.uint8)
    variables = jax.eval_shape(lambda: net.init(jax.random.key(0), images))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    logits, taps = jax.eval_shape(lambda v: net.apply(v, images, mutable=["taps"]), variables)
    assert logits.shape == (2, *sides, 2) and logits.dtype == jnp.float32
    assert taps["taps"]["encoder"].shape == (2, *(side // 16 for side in sides), 256)
    assert taps["taps"]["decoder"].shape == (2, *sides, 16)


@pytest.mark.parametrize("shape", [(1, 8, 9, 1), (1, 8, 8, 8, 1), (8, 8, 1)])
def test_images_that_do_not_fit(shape):
    with pytest.raises(ValueError, match=r"expected \[b, 2 sides, c\] with sides that are multiples of 2"):
        jax.eval_shape(lambda: TINY.init(jax.random.key(0), jnp.zeros(shape, jnp.uint8)))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_upsampling_interpolates_between_the_corners(dims):
    x = np.random.default_rng(dims).normal(size=(2, *(3, 4, 1)[:dims], 5)).astype(np.float32)
    twin = x
    for axis in range(1, dims + 1):
        n = x.shape[axis]
        places = np.linspace(0, n - 1, 2 * n)
        twin = np.apply_along_axis(lambda v, n=n, at=places: np.interp(at, np.arange(n), v), axis, twin)
    np.testing.assert_allclose(upsample_linear(jnp.asarray(x)), twin, atol=1e-5)


def test_max_pool_of_a_volume_and_of_a_row():
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 6, 3)).astype(np.float32)
    pooled = max_pool(jnp.asarray(x))
    assert pooled.shape == (2, 2, 2, 3, 3)
    for i, j, k in np.ndindex(2, 2, 3):
        window = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, 2 * k : 2 * k + 2]
        np.testing.assert_array_equal(pooled[:, i, j, k], window.max((1, 2, 3)))
    np.testing.assert_array_equal(max_pool(jnp.asarray([[[1.0], [3], [5], [2], [9]]])), [[[3], [5]]])


def test_float_images_are_taken_as_they_are(variables):
    np.testing.assert_array_equal(scale_input(jnp.array([1.1, -0.2]), jnp.float32), np.float32([1.1, -0.2]))
    assert scale_input(jnp.ones(1), jnp.bfloat16).dtype == jnp.bfloat16
    bytes_, floats = (run(TINY, variables, x)[0] for x in (IMAGES, IMAGES.astype(jnp.float32) / 255))
    np.testing.assert_array_equal(bytes_, floats)


def test_evaluation_is_deterministic_and_training_is_not(variables):
    calm = jax.jit(TINY.apply, compiler_options=QUICK)
    found = calm(variables, IMAGES)
    np.testing.assert_array_equal(found, calm(variables, IMAGES))
    # Each image on its own: nothing of the batch is in it.
    np.testing.assert_allclose(calm(variables, IMAGES[::-1])[::-1], found, atol=1e-5)
    loud = jax.jit(
        lambda key: TINY.apply(variables, IMAGES, True, rngs={"dropout": key}, mutable=["batch_stats"])[0],
        compiler_options=QUICK,
    )
    first, second, again = (loud(jax.random.key(seed)) for seed in (0, 1, 0))
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, again)


def test_statistics_move_by_the_momentum(variables):
    # The first convolution's output is known: PyTorch's momentum 0.1 takes a tenth of the batch's mean.
    first = nn.Conv(4, (3, 3)).apply({"params": variables["params"]["Stage_0"]["Conv_0"]}, IMAGES / 255)
    _, changed = run(TINY, variables, IMAGES, jax.random.key(0))
    running = changed["batch_stats"]["Stage_0"]["Norm_0"]["BatchNorm_0"]
    np.testing.assert_allclose(running["mean"], 0.1 * first.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(running["var"], 0.9 + 0.1 * first.var((0, 1, 2)), rtol=1e-4)
    # Auxiliary decoders that did not run keep theirs.
    for name in ("Decoder_1", "Decoder_2"):
        jax.tree.map(
            np.testing.assert_array_equal, changed["batch_stats"][name], variables["batch_stats"][name]
        )


def test_two_nets_by_vmap_are_two_single_runs():
    noises = (lambda f: f, lambda f: [2 * x for x in f])

    def one(key):
        variables = TINY.init(key, IMAGES)
        return TINY.apply(
            variables, IMAGES, True, perturb=noises, rngs={"dropout": key}, mutable=["batch_stats", "taps"]
        )

    keys = jax.random.split(jax.random.key(3), 2)
    both = jax.jit(jax.vmap(one), compiler_options=QUICK)(keys)
    single = jax.jit(one, compiler_options=QUICK)
    for i, key in enumerate(keys):
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=2e-4, atol=2e-5), both, single(key)
        )


def test_the_hook_changes_what_the_main_decoder_sees(variables):
    plain, sown = run(TINY, variables, IMAGES)
    seen = []

    def twice(features):
        seen.extend(x.shape for x in features)
        return [jnp.concatenate([x, 0 * x]) for x in features]

    doubled, tapped = run(TINY, variables, IMAGES, hook=twice)
    assert seen == [(2, 8, 12, 4), (2, 4, 6, 6)]
    assert doubled.shape == (4, 8, 12, 3)
    np.testing.assert_allclose(doubled[:2], plain, atol=1e-5)
    assert not np.allclose(doubled[2:], plain)
    # The encoder's tap is what the encoder made, before the hook.
    np.testing.assert_allclose(tapped["taps"]["encoder"], sown["taps"]["encoder"], atol=1e-5)


def test_auxiliary_decoders(variables):
    plain, _ = run(TINY, variables, IMAGES)
    same, zero = (lambda f: f), (lambda f: [0 * x for x in f])
    logits, others = run(TINY, variables, IMAGES, perturb=(same, zero))[0]
    np.testing.assert_allclose(logits, plain, atol=1e-5)
    assert [x.shape for x in others] == [plain.shape] * 2
    assert not np.allclose(others[0], plain)  # weights of its own
    # An auxiliary decoder with the main one's weights says what the main one says of the same features.
    moved = {kind: {**tree, "Decoder_1": tree["Decoder_0"]} for kind, tree in variables.items()}
    hooked, (first, _) = run(TINY, moved, IMAGES, hook=zero, perturb=(same, zero))[0]
    np.testing.assert_allclose(first, plain, atol=1e-5)
    assert not np.allclose(hooked, plain)
    with pytest.raises(ValueError, match="1 perturbations for 2 auxiliary decoders"):
        TINY.apply(variables, IMAGES, perturb=(same,))


@pytest.mark.parametrize("net", [TINY, UNet(3, 0.25, auxiliaries=2)], ids=["unet_dropout", "unet_residual"])
def test_what_is_there_at_initialization(net):
    images = jnp.zeros((1, 16, 16, 1), jnp.uint8)
    initial = jax.eval_shape(lambda: net.init(jax.random.key(0), images))
    bare = jax.eval_shape(lambda: net.copy(auxiliaries=0).init(jax.random.key(0), images))
    assert set(initial) == {"params", "batch_stats"}
    # The main path keeps the names that it has without auxiliary decoders.
    for kind, tree in bare.items():
        assert all(initial[kind][name] == found for name, found in tree.items())
    same = (lambda f: f,) * 2
    logits, others = jax.eval_shape(lambda v: net.apply(v, images, perturb=same), initial)
    assert [x.shape for x in (logits, *others)] == [(1, 16, 16, 3)] * 3
