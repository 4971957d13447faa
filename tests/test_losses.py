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
    with pytest.raises(ValueError, match="expected both"):
        losses.score_loss(a, iou, b)


# Compiled once per shape: op by op the tests would take several times as long.
pixelwise, dice, overlap = map(jax.jit, (losses.pixel_cross_entropy, losses.soft_dice, losses.ce_dice_loss))
weighted = jax.jit(lambda logits, labels, weights=None: losses.cross_entropy(logits, labels, weights=weights))


def test_pixel_cross_entropy_is_optax_and_zero_where_void():
    logits, labels = batch()
    each = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(labels == 255, 0, labels))
    got = pixelwise(logits, labels)
    np.testing.assert_allclose(got, np.where(labels == 255, 0, each), rtol=1e-5)
    # One pixel alone, and a volume: any pixel axes.
    np.testing.assert_allclose(pixelwise(logits[1, 1, 1], labels[1, 1, 1]), got[1, 1, 1])
    cut = pixelwise(logits[None, None], labels[None, None])
    np.testing.assert_array_equal(cut[0, 0], got)


def test_weighted_cross_entropy_is_divided_by_all_counted_pixels():
    logits, labels = batch()
    ones = jnp.ones(labels.shape)
    plain = weighted(logits, labels)
    assert float(weighted(logits, labels, ones)) == float(plain)
    # Equal logits cost log 4 each. Of 30 pixels 2 are void: a mask of 7 others gives 7/28 of log 4.
    mask = ones.at[...].set(0).at[1, :2, :3].set(1).at[1, 2, 0].set(1)
    flat = weighted(jnp.zeros_like(logits), labels, mask)
    np.testing.assert_allclose(flat, np.log(4) / 4, rtol=1e-6)
    # Weights at void pixels change nothing.
    assert float(weighted(logits, labels, ones.at[0, 0, :2].set(9))) == float(plain)


def slow_dice(logits, labels, weights):
    """Class by class, pixel by pixel, in float64."""
    ratios = []
    for k in range(logits.shape[-1]):
        both = either = 0.0
        for at in np.ndindex(*labels.shape):
            if labels[at] != 255:
                e = np.exp(logits[at].astype(np.float64))
                p, y = e[k] / e.sum(), float(labels[at] == k)
                both += weights[at] * p * y
                either += weights[at] * (p**2 + y**2)
        ratios.append((2 * both + 1e-5) / (either + 1e-5))
    return 1 - np.mean(ratios)


def test_soft_dice_slow_twin():
    logits, labels = map(np.asarray, batch())
    weights = np.random.default_rng(1).random(labels.shape).astype(np.float32)
    wanted = slow_dice(logits, labels, np.ones(labels.shape))
    np.testing.assert_allclose(dice(logits, labels), wanted, rtol=1e-5)
    wanted = slow_dice(logits, labels, weights)
    np.testing.assert_allclose(dice(logits, labels, weights), wanted, rtol=1e-5)


def test_soft_dice_by_hand():
    # Two pixels of class 0, p = (½, ½) in both. Class 0: 2·(½+½)/(½+2) = 0.8; class 1: 0/(½+0) = 0, up to
    # the smoothing: 1 − 0.8/2 = 0.6.
    logits, labels = jnp.zeros((1, 2, 2)), jnp.zeros((1, 2), jnp.uint8)
    np.testing.assert_allclose(dice(logits, labels), 0.6, atol=3e-5)
    # Certain and right: 0. Certain and wrong: 1.
    right = jnp.array([[[50.0, 0], [50.0, 0]]])
    np.testing.assert_allclose(dice(right, labels), 0, atol=1e-6)
    np.testing.assert_allclose(dice(-right, labels), 1, atol=1e-5)


def test_dice_sums_over_the_batch_not_per_image():
    # Image 0: right about its 1 pixel of class 1; image 1: its 3 pixels of class 1 are all missed.
    # Over the batch, class 1: 2·1/(1 + 4) = 0.4 and class 0: 2·4/(7 + 4) = 8/11.
    labels = jnp.array([[1, 0, 0, 0], [1, 1, 1, 0]], jnp.uint8)
    said = jnp.array([[1, 0, 0, 0], [0, 0, 0, 0]])
    wanted = 1 - (0.4 + 8 / 11) / 2
    np.testing.assert_allclose(dice(60 * jax.nn.one_hot(said, 2), labels), wanted, atol=1e-5)


def test_dice_of_void_or_unweighted_pixels():
    logits, labels = batch()
    void = jnp.full_like(labels, 255)
    value, gradient = jax.jit(jax.value_and_grad(losses.ce_dice_loss))(logits, void)
    assert float(value) == 0 and not np.asarray(gradient).any()
    # Weight 0 and void are the same to the Dice loss.
    weights = jnp.ones(labels.shape).at[1, 0].set(0)
    masked = dice(logits, labels.at[1, 0].set(255))
    np.testing.assert_allclose(dice(logits, labels, weights), masked, rtol=1e-6)


def test_overlap_loss_is_half_of_both_and_blind_to_the_order_of_classes():
    logits, labels = batch()
    weights = jnp.asarray(np.random.default_rng(2).random(labels.shape), jnp.float32)
    for w in (None, weights):
        parts = weighted(logits, labels, w) + dice(logits, labels, w)
        np.testing.assert_allclose(overlap(logits, labels, w), parts / 2, rtol=1e-6)
    # Class k gets the name order.index(k): its logits move there, its labels are renamed.
    order = np.array([2, 0, 3, 1])
    renamed = jnp.where(labels == 255, 255, jnp.argsort(order).astype(jnp.uint8)[labels % 4])
    value = overlap(logits[..., order], renamed, weights)
    np.testing.assert_allclose(value, overlap(logits, labels, weights), rtol=1e-6)


def test_overlap_loss_has_no_scatter_and_takes_half_precision():
    logits, labels = batch()
    assert "scatter" not in jax.jit(jax.grad(losses.ce_dice_loss)).lower(logits, labels).as_text()
    value = overlap((1e4 * logits).astype(jnp.bfloat16), labels)
    assert value.dtype == jnp.float32 and np.isfinite(value)
