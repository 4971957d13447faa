"""Batch normalization in closed form against the plain form and flax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from imjax.models.layers import BatchNorm, normalize

EPSILON = 1e-3


def _plain(x, scale, bias):
    """The definition, differentiated by JAX."""
    pixels = tuple(range(x.ndim - 1))
    mean, variance = x.mean(pixels), x.var(pixels)
    return (x - mean) / jnp.sqrt(variance + EPSILON) * scale + bias


def _arrays(shape, dtype=np.float32):
    rng = np.random.default_rng(3)
    x, weights = (rng.normal(1.5, 2.0, shape).astype(dtype) for _ in range(2))
    scale, bias = (rng.normal(size=shape[-1]).astype(np.float32) for _ in range(2))
    return tuple(jnp.asarray(array) for array in (x, scale, bias, weights))


@pytest.mark.parametrize("shape", [(4, 6, 5, 3), (2, 3, 4, 5, 2), (7, 2)])
def test_result_and_gradients_are_those_of_the_plain_form(shape):
    *inputs, weights = _arrays(shape)
    # Neither linear nor even in the result, or wrong gradients could cancel.
    objective = lambda y: (weights * jnp.sin(y) + 0.1 * y**3).sum()  # noqa: E731
    ours = jax.value_and_grad(lambda *a: objective(normalize(*a, EPSILON)[0]), argnums=(0, 1, 2))
    plain = jax.value_and_grad(lambda *a: objective(_plain(*a)), argnums=(0, 1, 2))
    (value, slopes), (expected, expected_slopes) = ours(*inputs), plain(*inputs)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for slope, wanted in zip(slopes, expected_slopes, strict=True):
        np.testing.assert_allclose(slope, wanted, rtol=2e-4, atol=2e-4)


def test_hand_worked():
    """Channel of 1 and 5: mean 3, variance 4, so ∓1 without ε; scale 2 and bias 10 make 8 and 12.

    The gradient g = (1, 0): Σg = 1, Σ(g·x̂) = −1, so 2/2·(1 − ½ − (−1)(−1)/2, 0 − ½ − (1)(−1)/2) = (0, 0): of
    two values the normalized ones never move.
    """
    x, scale, bias = jnp.array([[1.0], [5.0]]), jnp.array([2.0]), jnp.array([10.0])
    y, mean, variance = normalize(x, scale, bias, 0.0)
    assert y.ravel().tolist() == [8, 12] and mean == 3 and variance == 4
    of_x, of_scale, of_bias = jax.grad(lambda *a: normalize(*a, 0.0)[0][0, 0], argnums=(0, 1, 2))(
        x, scale, bias
    )
    assert of_x.ravel().tolist() == [0, 0] and of_scale.tolist() == [-1] and of_bias.tolist() == [1]


def test_layer_is_that_of_flax():
    """Training result, running statistics and what they make of a batch later."""
    x, *_ = _arrays((4, 6, 5, 3))
    ours, theirs = BatchNorm(0.9, EPSILON), nn.BatchNorm(momentum=0.9, epsilon=EPSILON)
    variables = ours.init(jax.random.key(0), x, True)
    y, changed = ours.apply(variables, x, True, mutable=["batch_stats"])
    expected, wanted = theirs.apply(variables, x, use_running_average=False, mutable=["batch_stats"])
    np.testing.assert_allclose(y, expected, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), changed, wanted)
    later = ours.apply({**variables, **changed}, x, False)
    np.testing.assert_allclose(
        later, theirs.apply({**variables, **wanted}, x, use_running_average=True), atol=1e-5
    )


def test_bfloat16_within_its_rounding():
    """8 bits of mantissa: results and gradients of order 1 to a hundredth; statistics in float32."""
    x, scale, bias, weights = _arrays((8, 16, 16, 4))
    x, weights = x.astype(jnp.bfloat16), weights.astype(jnp.bfloat16)

    def total(dtype):
        return lambda x: (normalize(x.astype(dtype), scale, bias, EPSILON)[0] * weights.astype(dtype)).sum()

    y, mean, variance = normalize(x, scale, bias, EPSILON)
    exact = normalize(x.astype(jnp.float32), scale, bias, EPSILON)
    assert y.dtype == jnp.bfloat16 and mean.dtype == variance.dtype == jnp.float32
    np.testing.assert_allclose(y.astype(np.float32), exact[0], rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(mean, exact[1], rtol=1e-6)
    slopes = [jax.grad(total(dtype))(x).astype(np.float32) for dtype in (jnp.bfloat16, jnp.float32)]
    np.testing.assert_allclose(*slopes, rtol=2e-2, atol=2e-2)


def test_members_side_by_side():
    """`vmap` takes each member's own statistics."""
    x, scale, bias, _ = _arrays((3, 8, 4))
    many = jax.vmap(lambda x: normalize(x, scale, bias, EPSILON)[0])(x)
    for member in range(3):
        np.testing.assert_allclose(many[member], normalize(x[member], scale, bias, EPSILON)[0], atol=1e-6)
