"""Votes on hand-made probabilities."""

import jax.numpy as jnp
import numpy as np
import pytest

from imjax.ops import ensemble


def test_one_half_is_background_for_binary_and_foreground_for_multilabel():
    p = jnp.array([[[0.5], [0.501]]])
    np.testing.assert_array_equal(ensemble.probabilities_to_label("binary", p), [[0, 1]])
    np.testing.assert_array_equal(ensemble.probabilities_to_label("multilabel", p), [[[1], [1]]])


def test_multiclass_vote_is_the_argmax_of_the_mean():
    # Members prefer class 0 (0.5), class 1 (0.9), class 0 (0.6); means .333, .5, .167: class 1 wins
    # although two of the three members say 0.
    members = jnp.array([[0.5, 0.3, 0.2], [0.0, 0.9, 0.1], [0.5, 0.3, 0.2]])[:, None, None]
    assert ensemble.vote("multiclass", members).tolist() == [[1]]


def test_binary_vote_needs_all_and_multilabel_the_mean():
    # Pixel 0: all above; pixel 1: one member below, mean 0.7; pixel 2: one exactly at 0.5.
    members = jnp.array([[0.6, 0.99, 0.9], [0.7, 0.41, 0.5]])[:, None, :, None]
    assert ensemble.vote("binary", members).tolist() == [[1, 0, 0]]
    assert ensemble.vote("multilabel", members)[..., 0].tolist() == [[1, 1, 1]]
    assert ensemble.mean_vote("binary", members).tolist() == [[1, 1, 1]]


def test_one_member_votes_as_itself():
    p = jnp.asarray(np.random.default_rng(0).random((1, 4, 5, 3)), jnp.float32)
    for kind in ("multiclass", "multilabel"):
        np.testing.assert_array_equal(ensemble.vote(kind, p), ensemble.probabilities_to_label(kind, p[0]))
    np.testing.assert_array_equal(
        ensemble.vote("binary", p[..., :1]), ensemble.probabilities_to_label("binary", p[0, ..., :1])
    )


def test_volumes_vote_as_images_do():
    p = jnp.asarray(np.random.default_rng(0).random((3, 2, 4, 5, 3)), jnp.float32)
    slices = [ensemble.mean_vote("multiclass", p[:, z]) for z in range(2)]
    np.testing.assert_array_equal(ensemble.mean_vote("multiclass", p), jnp.stack(slices))
    assert ensemble.probabilities_to_label("multilabel", p[0]).shape == (2, 4, 5, 3)


def test_binary_has_one_output():
    with pytest.raises(ValueError, match="2"):
        ensemble.probabilities_to_label("binary", jnp.zeros((2, 2, 2)))
