"""Votes of Input Ensemble and Model Ensemble, and the strength of the views (methods.md 1.2)."""

import jax.numpy as jnp
import numpy as np
import pytest

from imjax.config import get_config
from imjax.methods.generational.input_ensemble import aggregate_views
from imjax.ops import ensemble

# Probabilities of one pixel's one output in each view, vote of Input Ensemble, vote of Model Ensemble.
VOTES = [
    ("binary", (0.9, 0.6, 0.51), 1, 1),
    ("binary", (0.9, 0.9, 0.4), 0, 0),
    # Exactly one half is background here and foreground of a channel.
    ("binary", (0.9, 0.9, 0.5), 0, 0),
    ("multilabel", (0.9, 0.6, 0.5), 1, 1),
    # The mean is .73: a channel that one view does not see is in no label of Input Ensemble.
    ("multilabel", (0.9, 0.9, 0.4), 0, 1),
    ("multilabel", (0.1, 0.2, 0.4), 0, 0),
]


@pytest.mark.parametrize(("kind", "views", "input_vote", "model_vote"), VOTES)
def test_vote_of_one_output(kind, views, input_vote, model_vote):
    probabilities = jnp.asarray(views, jnp.float32)[:, None, None, None]
    assert aggregate_views(kind, probabilities).label.ravel().tolist() == [input_vote]
    assert ensemble.vote(kind, probabilities).ravel().tolist() == [model_vote]


def test_multiclass_vote_is_the_argmax_of_the_mean():
    # Two of three views prefer class 0, the mean prefers class 1.
    views = jnp.array([[0.5, 0.3, 0.2], [0.0, 0.9, 0.1], [0.5, 0.3, 0.2]])[:, None, None]
    pair = aggregate_views("multiclass", views)
    assert pair.label.tolist() == [[1]] and bool(pair.keep)


def square(side, views=3):
    """Views that agree on a square of this side in an image of 12×12."""
    p = np.zeros((views, 12, 12, 1), np.float32)
    p[:, 3 : 3 + side, 3 : 3 + side] = 0.9
    return p


MISSED = square(6)
MISSED[2] = 0
# Foreground in the views, whether the published code keeps the pair.
KEPT = [
    ("binary", "nothing", square(0), False),
    ("binary", "a square of 4×4 is gone after a 5×5 erosion", square(4), False),
    ("binary", "of 5×5 one pixel is left", square(5), True),
    ("binary", "one view of three saw nothing", MISSED, False),
    ("multilabel", "nothing", square(0), True),
    ("multiclass", "one class only", square(0), True),
]


@pytest.mark.parametrize(("kind", "name", "views", "kept"), KEPT)
def test_binary_pairs_without_foreground_are_dropped(kind, name, views, kept):
    assert bool(aggregate_views(kind, jnp.asarray(views)).keep) == kept


# Blur, noise, gain ±, offset ± of Input Ensemble's views.
STRENGTHS = {
    "isic2018": (3, 25, 0.5, 25),
    "hela": (1, 15, 0.3, 15),
    "suim": (1, 15, 0.3, 15),
    "cityscapes": (1, 15, 0.3, 15),
}


@pytest.mark.parametrize("dataset", STRENGTHS)
def test_strength_of_the_views(dataset):
    e = get_config(dataset, "input_ensemble").ensemble
    assert (e.blur, e.noise, e.contrast, e.brightness) == STRENGTHS[dataset]
