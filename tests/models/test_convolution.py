"""Every way to convolve against XLA's own: values and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.models import convolution
from imjax.models.convolution import (
    convolve_by_products,
    convolve_by_slices,
    convolve_depthwise,
    convolve_upsampled,
    multiply_pixels,
)
from imjax.models.layers import upsample

QUICK = {"xla_backend_optimization_level": 0}
quick = functools.partial(jax.jit, compiler_options=QUICK)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_convolution_by_columns_is_the_true_one(size):
    """Of three members, as on a GPU: values and both gradients."""
    rng = np.random.default_rng(size)
    shapes = (3, 2, 6, 5, 4), (3, size, size, 4, 7)
    x, kernel = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes)
    axes = ("NHWC", "HWIO", "NHWC")
    true = lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=axes)  # noqa: E731
    np.testing.assert_allclose(
        jax.vmap(convolve_by_products)(x, kernel), jax.vmap(true)(x, kernel), atol=1e-4
    )
    found, wanted = (
        jax.vmap(jax.grad(lambda *both: jnp.square(f(*both)).sum(), (0, 1)))(x, kernel)  # noqa: B023
        for f in (convolve_by_products, true)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3), found, wanted)


def test_products_are_chosen_by_name_and_by_platform(monkeypatch):
    assert convolution.choose_convolution("products", 2) is convolve_by_products
    assert convolution.choose_convolution("direct", 2) is convolution.choose_convolution("direct", 3) is None
    assert convolution.choose_convolution("auto", 2) is None and convolution.choose_convolution("auto", 3)
    monkeypatch.setattr(convolution.jax, "default_backend", lambda: "gpu")
    assert convolution.choose_convolution("auto", 2) is convolve_by_products


@pytest.mark.parametrize("pixels", [(2, 64, 64), (3, 5, 7)])
def test_a_split_product_has_the_gradients_of_the_product(monkeypatch, pixels):
    monkeypatch.setattr(convolution, "BLOCK", 512)
    draw = np.random.default_rng(0)
    x, kernel = (jnp.asarray(draw.normal(size=s), jnp.float32) for s in ((*pixels, 4), (4, 3)))
    weights = jnp.asarray(draw.normal(size=(*pixels, 3)), jnp.float32)
    found, wanted = (
        jax.grad(lambda x, k, f=f: (f(x, k) * weights).sum(), (0, 1))(x, kernel)  # noqa: B023
        for f in (convolution.split_product, jnp.matmul)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, wanted)
    blocks = str(jax.make_jaxpr(jax.grad(lambda k: convolution.split_product(x, k).sum()))(kernel))
    assert ("16,512,4" in blocks) == (pixels == (2, 64, 64))


def test_a_convolution_by_slices_is_the_true_one():
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((2, 3, 4, 5, 2), (3, 3, 3, 2, 4)))
    axes = ("NDHWC", "DHWIO", "NDHWC")
    true = lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 1, 1), "SAME", dimension_numbers=axes)  # noqa: E731
    np.testing.assert_allclose(convolve_by_slices(x, kernel), true(x, kernel), atol=1e-4)
    found, wanted = (
        jax.grad(lambda *both: jnp.square(f(*both)).sum(), (0, 1))(x, kernel)  # noqa: B023
        for f in (convolve_by_slices, true)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3), found, wanted)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("sides", [(8, 7), (1, 2)])
def test_depthwise_convolutions_and_their_gradients(sides, k, stride):
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((2, *sides, 3), (k, k, 1, 3)))

    def true(x, kernel, strides):
        axes = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel, strides, "SAME", dimension_numbers=axes, feature_group_count=3
        )

    def of(function):
        def squares(x, kernel):
            out = function(x, kernel, (stride, stride))
            return jnp.square(out).sum(), out

        return jax.grad(squares, (0, 1), has_aux=True)

    found, wanted = (quick(of(function))(x, kernel) for function in (convolve_depthwise, true))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, wanted)
    # Members side by side.
    both = jax.jit(jax.vmap(of(convolve_depthwise)), compiler_options=QUICK)(
        jnp.stack([x, 2 * x]), jnp.stack([kernel, kernel])
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-4, atol=1e-4), both, found)


@pytest.mark.parametrize("sides", [(8, 6), (7, 5)])
def test_a_strided_convolution_by_products_is_the_true_one(sides):
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((2, *sides, 3), (3, 3, 3, 4)))
    axes = ("NHWC", "HWIO", "NHWC")
    true = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=axes)
    np.testing.assert_allclose(convolve_by_products(x, kernel, (2, 2)), true, atol=1e-5)


def squares(function):
    """Gradients of the sum of the results' squares, weighted by position, and the results."""

    def loss(x, kernel):
        out = function(x, kernel)
        return (jnp.square(out) * jnp.arange(out.size).reshape(out.shape) / out.size).sum(), out

    return quick(jax.grad(loss, (0, 1), has_aux=True))


@pytest.mark.parametrize("sides", [(8, 9), (1, 2)])
def test_a_convolution_of_upsampled_features_is_the_true_one(sides):
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((2, *sides, 5), (3, 3, 5, 4)))
    axes = ("NHWC", "HWIO", "NHWC")
    true = lambda x, k: jax.lax.conv_general_dilated(  # noqa: E731
        upsample(x), k, (1, 1), "SAME", dimension_numbers=axes
    )
    found, wanted = (squares(function)(x, kernel) for function in (convolve_upsampled, true))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, wanted)


def test_a_product_of_pixels_has_the_gradients_of_the_product():
    rng = np.random.default_rng(0)
    x, kernel = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((2, 3, 5, 4), (4, 6)))
    found, wanted = (squares(function)(x, kernel) for function in (multiply_pixels, jnp.matmul))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, wanted)


def test_a_processor_convolves_before_it_upsamples(monkeypatch):
    """Where it is faster, unless another way is asked for."""
    assert convolution.choose_upsampled("auto", (8, 16)) is convolve_upsampled
    assert convolution.choose_upsampled("auto", (4, 16)) is None
    assert convolution.choose_product("auto") is not None
    for name in ("direct", "products", convolution.BY_PLATFORM):
        assert convolution.choose_upsampled(name, (8, 8)) is convolution.choose_product(name) is None
    monkeypatch.setattr(convolution.jax, "default_backend", lambda: "gpu")
    assert convolution.choose_upsampled("auto", (8, 8)) is convolution.choose_product("auto") is None
