"""MetaSSL's regions: slow twins pixel by pixel, numbers worked by hand, and invariants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imjax.ops import metassl as rg

UC, US, DC, DS = range(4)
classify, loss, shares = map(jax.jit, (rg.assign_regions, rg.region_loss, rg.region_shares))
move = jax.jit(rg.update_thresholds, static_argnums=3)
W = jnp.array([50, 40.0, 8.0, 0.5])


def predictions(seed=0, shape=(2, 5, 6), c=4):
    """Two related predictions, thresholds near their confidence, and a mask with void pixels."""
    rng = np.random.default_rng(seed)
    base = rng.normal(0, 2, (*shape, c))
    reference, supervised = (jax.nn.softmax(base + rng.normal(0, 1, base.shape)) for _ in range(2))
    thresholds = rng.uniform(0.4, 0.9, c).astype(np.float32)
    return reference, supervised, jnp.asarray(thresholds), jnp.asarray(rng.random(shape) < 0.8)


def slow_regions(reference, supervised, thresholds):
    out = np.zeros(reference.shape[:-1], np.uint8)
    for at in np.ndindex(*out.shape):
        r, s = int(np.argmax(reference[at])), int(np.argmax(supervised[at]))
        confident = reference[at][r] > thresholds[r]
        out[at] = {(1, 1): UC, (1, 0): US, (0, 1): DC, (0, 0): DS}[int(r == s), int(confident)]
    return out


def slow_loss(logits, target, region, weights, counted):
    sums, pixels = np.zeros(4), np.zeros(4)
    for at in np.ndindex(*target.shape):
        if counted[at] and target[at] != 255:
            x = logits[at].astype(np.float64)
            sums[region[at]] += np.log(np.exp(x).sum()) - x[target[at]]
            pixels[region[at]] += 1
    return sum(w * s / (n + 1) for w, s, n in zip(weights, sums, pixels, strict=True))


def test_regions_slow_twin():
    reference, supervised, thresholds, _ = predictions()
    got = np.asarray(classify(reference, supervised, thresholds))
    np.testing.assert_array_equal(got, slow_regions(*map(np.asarray, (reference, supervised, thresholds))))
    assert got.dtype == np.uint8 and set(got.ravel()) == {UC, US, DC, DS}


def test_regions_by_hand():
    # Classes 0 and 1, thresholds .9 and .7. A probability equal to its threshold is not above it.
    reference = jnp.array([[0.95, 0.05], [0.85, 0.15], [0.25, 0.75], [0.35, 0.65], [1, 0], [0.25, 0.75]])
    supervised = jnp.array([[0.6, 0.4], [0.6, 0.4], [0.6, 0.4], [0.6, 0.4], [0, 1], [0.4, 0.6]])
    thresholds = jnp.array([0.9, 0.7])
    assert classify(reference, supervised, thresholds).tolist() == [UC, US, DC, DS, DC, UC]
    assert classify(reference, supervised, jnp.ones(2)).tolist() == [US, US, DS, DS, DS, US]


@pytest.mark.parametrize("k", range(4))
def test_every_class_can_be_unanimous_and_confident(k):
    # The released code's defect: foreground was never UC, and so without a loss.
    sure = jnp.broadcast_to(jax.nn.one_hot(k, 4) * 0.96 + 0.01, (3, 3, 4))
    region = classify(sure, sure, jnp.full(4, 0.9))
    assert (region == UC).all()
    # 9 pixels of log 4: w·9/(9 + 1)·log 4.
    value = loss(jnp.zeros((3, 3, 4)), jnp.full((3, 3), k, jnp.uint8), region, W, jnp.ones((3, 3), bool))
    np.testing.assert_allclose(value, 50 * 0.9 * np.log(4), rtol=1e-6)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_loss_slow_twin(seed):
    reference, supervised, thresholds, counted = predictions(seed)
    logits = jnp.log(supervised)
    target = reference.argmax(-1).astype(jnp.uint8).at[0, 0, :3].set(255)
    region = classify(reference, supervised, thresholds)
    wanted = slow_loss(*map(np.asarray, (logits, target, region, W, counted)))
    np.testing.assert_allclose(loss(logits, target, region, W, counted), wanted, rtol=1e-5)


def test_loss_by_hand_and_its_gradient():
    # Two classes, logits 0: log 2 a pixel. UC: 3 pixels, US: 1, DS: 1, and a void pixel in DC.
    # 50·3/4 + 40·1/2 + 0.5·1/2 = 57.75 log 2. Gradient at a UC pixel: 50/4·(½ − 1) to its class.
    region = jnp.array([UC, UC, UC, US, DS, DC], jnp.uint8)
    counted, target = jnp.array([True] * 5 + [False]), jnp.zeros(6, jnp.uint8)
    run = jax.jit(jax.value_and_grad(rg.region_loss))
    value, gradient = run(jnp.zeros((6, 2)), target, region, W, counted)
    np.testing.assert_allclose(value, 57.75 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient[:, 0], [-6.25] * 3 + [-10, -0.125, 0], rtol=1e-6)
    np.testing.assert_allclose(gradient[:, 1], -gradient[:, 0], rtol=1e-6)
    nothing = run(jnp.zeros((6, 2)), target, region, W, jnp.zeros(6, bool))
    assert float(nothing[0]) == 0 and not np.asarray(nothing[1]).any()


def test_thresholds_three_steps_by_hand():
    # Class 0: .9 → (.9 + mean(.8, .6))/2 = .8 → no pixel: .8 → (.8 + 1)/2 = .9.
    # Class 1: .9 → (.9 + .7)/2 = .8 → (.8 + .6)/2 = .7 → no counted pixel: .7. Class 2 never has a pixel.
    steps = [
        ([[0.8, 0.1, 0.1], [0.3, 0.7, 0.0], [0.6, 0.2, 0.2]], [True, True, True]),
        ([[0.4, 0.6, 0.0], [0.2, 0.6, 0.2], [0.9, 0.1, 0.0]], [True, True, False]),
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], [True, False, True]),
    ]
    wanted = [[0.8, 0.8, 0.9], [0.8, 0.7, 0.9], [0.9, 0.7, 0.9]]
    thresholds = jnp.full(3, 0.9)
    for (reference, counted), after in zip(steps, wanted, strict=True):
        thresholds = move(thresholds, jnp.array(reference), jnp.array(counted))
        np.testing.assert_allclose(thresholds, after, rtol=1e-6)


def test_thresholds_slow_twin_and_other_momenta():
    reference, _, thresholds, counted = predictions(3)
    said, top = np.asarray(reference).argmax(-1), np.asarray(reference).max(-1)
    for momentum in (0.5, 0.9):
        got = move(thresholds, reference, counted, momentum)
        for k in range(4):
            mean = top[(said == k) & np.asarray(counted)].mean()
            np.testing.assert_allclose(got[k], momentum * thresholds[k] + (1 - momentum) * mean, rtol=1e-6)


def test_thresholds_are_clipped_at_one_and_rest_where_all_is_void():
    sure = jnp.broadcast_to(jnp.array([1.0, 0]), (4, 2))
    assert move(jnp.array([1.2, 0.9]), sure, jnp.ones(4, bool)).tolist() == [1, jnp.float32(0.9)]
    before = jnp.array([0.3, 0.9])
    np.testing.assert_array_equal(move(before, sure, jnp.zeros(4, bool)), before)


def test_nothing_flows_into_the_reference():
    reference, _, thresholds, counted = predictions()
    gradient = jax.jit(jax.grad(lambda p: rg.update_thresholds(thresholds, p, counted).sum()))(reference)
    assert not np.asarray(gradient).any()


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_renaming_classes_renames_thresholds_and_keeps_regions(seed):
    reference, supervised, thresholds, counted = predictions(seed)
    order = np.random.default_rng(seed).permutation(4)
    region = classify(reference, supervised, thresholds)
    renamed = classify(reference[..., order], supervised[..., order], thresholds[order])
    np.testing.assert_array_equal(renamed, region)
    moved = move(thresholds, reference, counted)
    np.testing.assert_allclose(
        move(thresholds[order], reference[..., order], counted), moved[order], rtol=1e-6
    )


def test_a_prediction_against_itself_is_unanimous_and_exchange_keeps_unanimity():
    reference, supervised, thresholds, _ = predictions()
    assert (classify(reference, reference, thresholds) <= US).all()
    there, back = classify(reference, supervised, thresholds), classify(supervised, reference, thresholds)
    np.testing.assert_array_equal(there >= DC, back >= DC)


def test_shares():
    region = jnp.array([[UC, UC, UC], [US, DS, DC]], jnp.uint8)
    counted = jnp.array([[True, True, True], [True, False, False]])
    assert shares(region, counted).tolist() == [0.75, 0.25, 0, 0]
    assert not np.asarray(shares(region, jnp.zeros((2, 3), bool))).any()
    assert shares(region, jnp.ones((2, 3), bool)).sum() == pytest.approx(1)


def test_weights_are_the_papers():
    # methods.md 2.2. By hand: 50·exp(−0.6³) = 50·exp(−0.216) = 50·0.8057 = 40.3.
    assert rg.region_weights(50, 0.6, 3) == pytest.approx((50, 40.3, 8.9, 0.15), abs=0.05)
    assert rg.region_weights(85, 0.3, 3) == pytest.approx((85, 82.7, 68.5, 41.0), abs=0.05)
    assert rg.region_weights(50, 0.6, 3)[3] == pytest.approx(0.1466, abs=1e-4)
    assert rg.region_weights(7, 0, 3) == (7, 7, 7, 7)


def test_vmap_equals_single_runs_and_volumes_have_three_pixel_axes():
    reference, supervised, thresholds, counted = predictions(shape=(2, 3, 4, 3))
    region = jax.jit(jax.vmap(rg.assign_regions, in_axes=(0, 0, None)))(reference, supervised, thresholds)
    np.testing.assert_array_equal(region, classify(reference, supervised, thresholds))
    target, logits = reference.argmax(-1).astype(jnp.uint8), jnp.log(supervised)
    each = jax.jit(jax.vmap(rg.region_loss, in_axes=(0, 0, 0, None, 0)))(logits, target, region, W, counted)
    for i in range(2):
        np.testing.assert_allclose(each[i], loss(logits[i], target[i], region[i], W, counted[i]), rtol=1e-6)
