"""Reliability weights against numpy's eigenvectors, numbers worked by hand, and invariants."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imjax.ops import csl as cf

# Without optimization: the many small shapes below take longer to compile than to run.
quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
weigh, features = quick(cf.reliability_weights), quick(cf.reliability_features)


def two_classes(*confidence):
    p = np.array(confidence)
    return jnp.asarray(np.stack([1 - p, p], -1), jnp.float32)


def prediction(seed=0, shape=(6, 7), c=4):
    """Sure pixels and unsure ones, as of a trained net."""
    rng = np.random.default_rng(seed)
    sharpness = np.where(rng.random((*shape, 1)) < 0.6, 6, 1)
    return jax.nn.softmax(jnp.asarray(sharpness * rng.normal(0, 1, (*shape, c)), jnp.float32))


def twin(p, counted):
    """In float64, pixel by pixel, with numpy's eigenvectors."""
    points = []
    for at in np.ndindex(*counted.shape):
        one = np.sort(p[at].astype(np.float64))
        points.append((one[-1], np.std(one[:-1])))
    points, inside = np.array(points), counted.ravel()
    centerd = points - points[inside].mean(0)
    direction = np.linalg.eigh(centerd[inside].T @ centerd[inside])[1][:, -1]
    side = centerd @ direction >= 0
    if points[inside & side, 0].mean() < points[inside & ~side, 0].mean():
        side = ~side
    center, spread = points[inside & side].mean(0), points[inside & side].var(0) + 1e-8
    soft = np.exp(-((points - center) ** 2 / spread).sum(1) / 2)
    return np.where(inside, np.where(side, 1, soft), 0).reshape(counted.shape)


def test_features_by_hand():
    # Others (.2, .2): no dispersion. (.4, 0): mean .2, deviations .2. (.3, .2, .1): √((.01 + 0 + .01)/3).
    top, spread = features(jnp.array([[0.6, 0.2, 0.2], [0.0, 0.6, 0.4]]))
    np.testing.assert_allclose(top, [0.6, 0.6], rtol=1e-6)
    np.testing.assert_allclose(spread, [0, 0.2], atol=1e-7)
    np.testing.assert_allclose(features(jnp.array([[0.3, 0.4, 0.2, 0.1]]))[1], np.sqrt(0.02 / 3), rtol=1e-5)


def test_dispersion_vanishes_exactly_for_two_classes():
    assert not np.asarray(features(prediction(c=2))[1]).any()


direction = jax.jit(cf.leading_direction)


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.floats(-5, 5, width=32)] * 3))
def test_leading_direction_is_numpys(entries):
    # A Gram matrix of three points on a line and across it; nearly round ones have no direction to compare.
    x = np.array([[entries[0], 1], [entries[1], -1], [entries[2], 0.5]])
    g = x.T @ x
    values, vectors = np.linalg.eigh(g)
    if values[1] - values[0] < 1e-3 * values[1]:
        return
    got = np.array(direction(*map(np.float32, (g[0, 0], g[0, 1], g[1, 1]))))
    assert got[0] >= -1e-6 and abs(abs(got @ vectors[:, 1]) - 1) < 1e-4


def test_leading_direction_of_nothing():
    assert [float(x) for x in cf.leading_direction(*jnp.zeros(3))] == [1, 0]


def test_two_classes_are_cut_at_the_mean_confidence_by_hand():
    # Mean .8: .95 and .85 are reliable, mean .9, deviation .05. .75 is 3 of them away, e^−4.5; .65 is 5.
    got = weigh(two_classes(0.95, 0.75, 0.85, 0.65))
    np.testing.assert_allclose(got, [1, np.exp(-4.5), 1, np.exp(-12.5)], rtol=1e-3)


def test_two_class_weights_never_fall_with_confidence():
    p = np.sort(np.random.default_rng(0).beta(4, 1, 60)) / 2 + 0.5
    got = np.asarray(weigh(two_classes(*p)))
    assert (np.diff(got) >= 0).all() and got[-1] == 1 and got[0] < 0.1
    np.testing.assert_array_equal(got == 1, p >= p.mean())


def test_dispersion_separates_pixels_of_equal_confidence():
    # A rival at .2 against two at .1: the first may well be the truth.
    p = jnp.array([[0.8, 0.1, 0.1], [0.8, 0.2, 0.0], [0.1, 0.8, 0.1], [0.0, 0.2, 0.8]])
    got = np.asarray(weigh(p))
    assert got[[0, 2]].tolist() == [1, 1] and got[[1, 3]].max() < 1e-6


@pytest.mark.parametrize("seed", range(8))
def test_slow_twin(seed):
    # Fixed seeds: a pixel within float32 rounding of the cut would rightly fall to either side.
    p = prediction(seed)
    counted = np.random.default_rng(seed).random(p.shape[:-1]) < 0.8
    got = weigh(p, jnp.asarray(counted))
    np.testing.assert_allclose(got, twin(np.asarray(p), counted), rtol=1e-3, atol=1e-6)
    assert got.min() >= 0 and got.max() == 1


def test_alike_pixels_are_all_reliable():
    for p in (0.7, 0.5, 1.0):
        assert (weigh(two_classes(*[p] * 9)) == 1).all()
    even = jnp.full((5, 5, 3), 1 / 3)
    assert (weigh(even) == 1).all()
    # Differences far below the floor are no reason either.
    np.testing.assert_allclose(weigh(two_classes(0.7, 0.7 + 2e-6, 0.7, 0.7 - 2e-6)), 1, atol=1e-2)


def test_void_pixels_weigh_nothing_and_change_nothing():
    p, counted = prediction(), jnp.ones((6, 7), bool).at[:, 5:].set(False)
    got = weigh(p, counted)
    assert not np.asarray(got)[:, 5:].any()
    np.testing.assert_allclose(got[:, :5], weigh(p[:, :5]), rtol=1e-4, atol=1e-6)
    other = weigh(p.at[:, 5:].set(jnp.array([0.97, 0.01, 0.01, 0.01])), counted)
    np.testing.assert_array_equal(other, got)
    assert not np.asarray(weigh(p, jnp.zeros((6, 7), bool))).any()


def test_neither_the_names_of_classes_nor_the_order_of_pixels_matters():
    p = prediction(2)
    got = weigh(p)
    np.testing.assert_allclose(weigh(p[..., jnp.array([3, 1, 0, 2])]), got, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(weigh(p[::-1, ::-1]), got[::-1, ::-1], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(weigh(p.reshape(2, 3, 7, 4)).reshape(6, 7), got, rtol=1e-3, atol=1e-6)


def test_no_gradient_and_vmap_weighs_each_image_by_itself():
    p = jnp.stack([prediction(0), prediction(1)])
    assert not np.asarray(jax.jit(jax.grad(lambda x: cf.reliability_weights(x).sum()))(p)).any()
    each = jax.jit(jax.vmap(cf.reliability_weights))(p)
    for one, image in zip(each, p, strict=True):
        np.testing.assert_allclose(one, weigh(image), rtol=1e-3, atol=1e-6)
    assert each.dtype == jnp.float32 and weigh(p[0].astype(jnp.bfloat16)).dtype == jnp.float32


@pytest.mark.parametrize("c", [2, 3, 7])
def test_reliable_pixels_are_the_more_confident(c):
    p = prediction(4, c=c)
    weights, top = np.asarray(weigh(p)), np.asarray(p.max(-1))
    assert top[weights == 1].mean() > top[weights < 1].mean() + 0.1
