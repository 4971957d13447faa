"""Similarity consistency: Gram matrices written out, and where the gradient flows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.ops import similarity as sim

gram, loss = jax.jit(sim.gram_matrix), jax.jit(sim.similarity_loss)
gradients = jax.jit(jax.grad(sim.similarity_loss, argnums=(0, 1)))


def features(seed, shape=(4, 3, 5, 2)):
    return jnp.asarray(np.random.default_rng(seed).normal(0, 1, shape), jnp.float32)


def slow_gram(f):
    """Pair by pair, in float64."""
    b = f.shape[0]
    g = np.array([[(f[i].astype(np.float64) * f[j]).sum() for j in range(b)] for i in range(b)])
    return g / np.array([[np.sqrt((row**2).sum())] for row in g])


def test_gram_by_hand():
    # Rows (3, 4) and (4, 0): products 25, 12; 12, 16. Row lengths √769 and 20.
    got = gram(jnp.array([[3.0, 4], [4, 0]]))
    np.testing.assert_allclose(got, [[25 / 769**0.5, 12 / 769**0.5], [0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(4, 7), (3, 4, 5, 2), (2, 2, 3, 2, 2)])
def test_gram_slow_twin(shape):
    f = features(0, shape)
    np.testing.assert_allclose(gram(f), slow_gram(np.asarray(f)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jnp.square(gram(f)).sum(-1), 1, rtol=1e-5)


def test_half_precision_is_summed_in_float32():
    # 4000 products of 1 have the sum 4000; in bfloat16 a sum stops growing at 256, in float16 at 2048. The
    # other sample has 1000 ones, so the rows are (4000, 1000) and (1000, 1000).
    for dtype in (jnp.bfloat16, jnp.float16):
        f = jnp.stack([jnp.ones(4000, dtype), jnp.where(jnp.arange(4000) < 1000, 1, 0).astype(dtype)])
        got = gram(f)
        assert got.dtype == jnp.float32
        np.testing.assert_allclose(got, [[4 / 17**0.5, 1 / 17**0.5], [0.5**0.5] * 2], rtol=1e-6)


def test_scale_of_the_features_does_not_matter():
    np.testing.assert_allclose(gram(8 * features(1)), gram(features(1)), rtol=1e-6)


def test_samples_of_zeros_have_rows_of_zeros_and_finite_gradients():
    f = features(0).at[1].set(0)
    assert not np.asarray(gram(f))[1].any() and not np.asarray(gram(f))[:, 1].any()
    for one, other in ((f, features(1)), (jnp.zeros_like(f), f), (jnp.zeros_like(f), jnp.zeros_like(f))):
        assert all(np.isfinite(g).all() for g in gradients(one, other))


def test_loss_is_the_mse_of_the_matrices_whatever_the_feature_sizes():
    one, other = features(0), features(1, (4, 6))
    wanted = np.square(slow_gram(np.asarray(one)) - slow_gram(np.asarray(other))).mean()
    np.testing.assert_allclose(loss(one, other), wanted, rtol=1e-5)
    np.testing.assert_allclose(loss(other, one), wanted, rtol=1e-5)


def test_each_side_gets_half_the_gradient_as_if_the_other_were_constant():
    one, other = features(0), features(1)

    def mse(f, fixed):
        return jnp.square(sim.gram_matrix(f) - fixed).mean()

    half = jax.jit(jax.grad(mse))
    first, second = gradients(one, other)
    assert np.abs(first).max() > 1e-4 and np.abs(second).max() > 1e-4
    np.testing.assert_allclose(first, half(one, gram(other)) / 2, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(second, half(other, gram(one)) / 2, rtol=1e-4, atol=1e-8)


def test_equal_features_cost_nothing_and_do_not_move():
    f = features(0)
    # Up to rounding: a compiler may take the same product in two orders.
    assert float(loss(f, f)) < 1e-12 and all(np.abs(g).max() < 1e-7 for g in gradients(f, f))
    # One sample is only ever like itself.
    assert float(loss(f[:1], features(1)[:1])) == pytest.approx(0, abs=1e-12)


def test_order_of_the_samples_does_not_matter():
    order = jnp.array([2, 0, 3, 1])
    one, other = features(0), features(1)
    np.testing.assert_allclose(gram(one[order]), gram(one)[order][:, order], rtol=1e-5)
    np.testing.assert_allclose(loss(one[order], other[order]), loss(one, other), rtol=1e-5)


def test_vmap_over_pairs_of_nets():
    ones, others = features(0, (3, 4, 6)), features(1, (3, 4, 6))
    each = jax.jit(jax.vmap(sim.similarity_loss))(ones, others)
    np.testing.assert_allclose(each, [loss(a, b) for a, b in zip(ones, others, strict=True)], rtol=1e-5)
