"""Perturbed features: numpy twins of what is dropped, and statistics of what is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.ops import perturb

KEY = jax.random.key(0)
FEATURES = jnp.asarray(np.random.default_rng(0).normal(size=(3, 6, 5, 8)), jnp.float32)
VOLUME = jnp.asarray(np.random.default_rng(1).normal(size=(2, 4, 3, 5, 6)), jnp.float32)


def test_noise_is_uniform_around_each_element():
    # u of a uniform ±r: mean 0, variance r²/3. Of 40 000, a mean within 4·r/√(3·40 000) = 0.0035.
    u = np.asarray(perturb.feature_noise(KEY, jnp.ones((4, 10, 10, 100)), 0.3)) - 1
    assert np.abs(u).max() <= 0.3 + 1e-6 and abs(u.mean()) < 0.0035
    assert u.var() == pytest.approx(0.3**2 / 3, rel=0.03)
    assert len(np.unique(u)) > 0.99 * u.size
    # It multiplies: the same draws on other features, and nothing where there is nothing.
    other = np.asarray(perturb.feature_noise(KEY, 5 * jnp.ones((4, 10, 10, 100)), 0.3))
    np.testing.assert_allclose(other, 5 * (1 + u), rtol=1e-5)
    assert not perturb.feature_noise(KEY, jnp.zeros((1, 4, 4, 2))).any()


@pytest.mark.parametrize("features", [FEATURES, VOLUME], ids=["image", "volume"])
def test_whole_channels_are_dropped_and_the_rest_scaled(features):
    got = np.asarray(perturb.feature_dropout(KEY, features, 0.5))
    dropped = 0
    for sample, plain in zip(got, np.asarray(features), strict=True):
        for c in range(sample.shape[-1]):
            if sample[..., c].any():
                np.testing.assert_allclose(sample[..., c], 2 * plain[..., c], rtol=1e-6)
            else:
                dropped += 1
    assert 0 < dropped < got.shape[0] * got.shape[-1]


def test_dropout_keeps_the_mean_and_is_drawn_per_sample():
    # 20 000 channels at rate 0.3: a share within 4·√(0.21/20 000) = 0.013.
    got = np.asarray(perturb.feature_dropout(KEY, jnp.ones((200, 1, 2, 100)), 0.3))
    assert (got[:, 0, 0] == 0).mean() == pytest.approx(0.3, abs=0.013)
    assert got.mean() == pytest.approx(1, abs=0.013 / 0.7)
    assert not np.array_equal(got[0], got[1])
    np.testing.assert_array_equal(perturb.feature_dropout(KEY, FEATURES, 0.0), FEATURES)
    for rate in (-0.1, 1.0):
        with pytest.raises(ValueError, match=f"rate {rate}, expected"):
            perturb.feature_dropout(KEY, FEATURES, rate)


def test_single_elements_are_dropped_and_the_rest_scaled():
    # 40 000 elements at rate 0.5: a share within 4·√(0.25/40 000) = 0.01.
    got = np.asarray(perturb.element_dropout(KEY, jnp.ones((200, 1, 2, 100)), 0.5))
    assert set(np.unique(got)) == {0, 2} and (got == 0).mean() == pytest.approx(0.5, abs=0.01)
    # Elements of one channel fall apart, unlike with `feature_dropout`.
    assert (got[:, 0, 0] != got[:, 0, 1]).mean() == pytest.approx(0.5, abs=0.02)
    with pytest.raises(ValueError, match="element_dropout: rate 1.0, expected"):
        perturb.element_dropout(KEY, FEATURES, 1.0)


@pytest.mark.parametrize("features", [FEATURES, VOLUME], ids=["image", "volume"])
def test_attention_slow_twin(features):
    # With low = high the share is known.
    got = np.asarray(perturb.attention_drop(KEY, features, 0.4, 0.4))
    plain, dropped = np.asarray(features), 0
    for sample, twin in zip(got, plain, strict=True):
        mean = twin.mean(-1)
        for pixel in np.ndindex(mean.shape):
            gone = mean[pixel] > 0.4 * mean.max()
            dropped += gone
            np.testing.assert_array_equal(sample[pixel], 0 * twin[pixel] if gone else twin[pixel])
    assert 0 < dropped < plain[..., 0].size


def test_attention_by_hand():
    # Means over the two channels: 10, 8, 6, -1. Above any share in .7 to .9 of 10 is the first pixel only, or
    # the second too, where the share is below .8; the third never.
    sample = jnp.array([[[12.0, 8], [8, 8], [6, 6], [0, -2]]])
    got = np.asarray(perturb.attention_drop(KEY, jnp.tile(sample, (400, 1, 1))))
    assert not got[:, 0].any() and (got[:, 2:] == np.asarray(sample[:, 2:])).all()
    second = got[:, 1].all(-1)
    # The share is uniform and each sample's own: half of them, within 4·√(1/4/400) = .1.
    assert second.mean() == pytest.approx(0.5, abs=0.1)
    # The pixel of the maximum itself is kept where the maximum is not positive.
    for level in (0.0, -3.0):
        flat = jnp.full((2, 3, 3, 4), level)
        np.testing.assert_array_equal(perturb.attention_drop(KEY, flat), flat)


def test_types_and_vmap():
    def every(key, x):
        return (
            perturb.feature_noise(key, x),
            perturb.feature_dropout(key, x, 0.5),
            perturb.element_dropout(key, x, 0.5),
            perturb.attention_drop(key, x),
        )

    for low in jax.eval_shape(every, KEY, FEATURES.astype(jnp.bfloat16)):
        assert low.dtype == jnp.bfloat16 and low.shape == FEATURES.shape
    mapped = jax.jit(jax.vmap(every, (0, None)))
    keys = jax.random.split(KEY, 2)
    for both, turned in zip(mapped(keys, FEATURES), mapped(keys[::-1], FEATURES), strict=True):
        np.testing.assert_array_equal(both, turned[::-1])
        assert not np.array_equal(*both)
