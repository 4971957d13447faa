"""Losses against optax and numbers worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from imjax import losses


def batch(seed=0, k=4):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (2, 3, 5, k)).astype(np.float32)
    labels = rng.integers(0, k, (2, 3, 5)).astype(np.uint8)
    labels[0, 0, :2] = 255
    return jnp.asarray(logits), jnp.asarray(labels)


def test_cross_entropy_is_optax_over_the_counted_pixels():
    logits, labels = batch()
    each = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(labels == 255, 0, labels))
    wanted = each[labels != 255].mean()
    np.testing.assert_allclose(losses.cross_entropy(logits, labels), wanted, rtol=1e-6)


def test_cross_entropy_gradient():
    # (softmax − one-hot) / counted pixels, and 0 at void ones.
    logits, labels = batch()
    counted = np.asarray(labels) != 255
    wanted = np.asarray(jax.nn.softmax(logits)) - np.eye(4)[np.where(counted, labels, 0)]
    wanted = np.where(counted[..., None], wanted, 0) / counted.sum()
    gradient = jax.jit(jax.grad(losses.cross_entropy))(logits, labels)
    np.testing.assert_allclose(gradient, wanted, atol=1e-7)


def test_all_void_costs_nothing_and_has_no_gradient():
    logits, labels = batch()
    value, gradient = jax.value_and_grad(losses.cross_entropy)(logits, jnp.full_like(labels, 255))
    assert float(value) == 0 and not np.asarray(gradient).any()
    assert float(losses.mse_sigmoid(logits, jnp.full(logits.shape, 255, jnp.uint8))) == 0


def test_gradient_of_the_cross_entropy_has_no_scatter():
    text = jax.jit(jax.grad(losses.cross_entropy)).lower(*batch()).as_text()
    assert "scatter" not in text


def test_extreme_logits_and_half_precision_stay_finite_float32():
    logits, labels = batch()
    for scale in (1e4, 1.0):
        value = losses.cross_entropy((logits * scale).astype(jnp.bfloat16), labels)
        assert value.dtype == jnp.float32 and np.isfinite(value)


def test_mse_by_hand():
    # sigmoid(0) = 1/2 everywhere: errors 1/4, 1/4; with the target scaled to 3: (1/2 − 3)² = 6.25 and 1/4.
    logits, targets = jnp.zeros((1, 1, 2, 1)), jnp.array([[[1, 0]]], jnp.uint8)
    assert float(losses.mse_sigmoid(logits, targets)) == 0.25
    assert float(losses.mse_sigmoid(logits, targets[..., None], (3.0,))) == 3.25
    # Void in the first pixel leaves the second.
    assert float(losses.mse_sigmoid(logits, targets.at[0, 0, 0].set(255), (3.0,))) == 0.25


def test_mse_scales_per_output():
    logits, targets = jnp.zeros((1, 1, 1, 3)), jnp.ones((1, 1, 1, 3), jnp.uint8)
    np.testing.assert_allclose(losses.mse_sigmoid(logits, targets, (1.0, 1.0, 3.0)), (0.25 + 0.25 + 6.25) / 3)
    with pytest.raises(ValueError, match="2 scale factors for 3"):
        losses.mse_sigmoid(logits, targets, (1.0, 3.0))


def test_score_loss_is_mse_plus_optax_cross_entropy():
    rng = np.random.default_rng(0)
    a, b = jnp.asarray(rng.normal(0, 3, (2, 6, 4)), jnp.float32)
    iou = jnp.asarray(rng.random((6, 4)), jnp.float32)
    found = jnp.asarray(rng.integers(0, 2, (6, 4)), jnp.float32)
    mse = jnp.mean((jax.nn.sigmoid(a) - iou) ** 2)
    np.testing.assert_allclose(losses.score_loss(a, iou), mse, rtol=1e-6)
    wanted = mse + optax.sigmoid_binary_cross_entropy(b, found).mean()
    np.testing.assert_allclose(losses.score_loss(a, iou, b, found), wanted, rtol=1e-6)
    assert np.isfinite(losses.binary_cross_entropy(1e4 * b, found))
    with pytest.raises(ValueError, match="together"):
        losses.score_loss(a, iou, b)
