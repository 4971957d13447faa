"""UAPS by hand: the mixed pseudo-label, the divergence from the mean, and the loss of one decoder."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.methods.joint.base import most_probable_class
from imjax.methods.joint.uaps import mixed_pairs, uaps
from tests.methods.fixed_nets import NO_AUGMENTATION, FixedNets, loss_and_gradient, make_views, two_classes

LOGITS = [two_classes(0.8), two_classes(0.4)]
ONES = jnp.ones((1, 1, 1))


@pytest.mark.parametrize(("shares", "mixed", "label"), [((0.5, 0.5), 0.6, 0), ((0.1, 0.9), 0.44, 1)])
def test_the_shares_decide_the_pseudo_label(shares, mixed, label):
    for pair in mixed_pairs(LOGITS, jnp.array(shares), 1.0):
        assert float(pair.reference[0, 0, 0, 0]) == pytest.approx(mixed)
        assert int(most_probable_class(pair.reference)[0, 0, 0]) == label


def test_loss_of_each_decoder():
    pairs = mixed_pairs(LOGITS, jnp.array([0.5, 0.5]), 1.0)
    found = [float(pair.loss_fn(pair.reference, pair.supervised, ONES)) for pair in pairs]
    # Mean of both: (.6, .4). Pseudo-label 0, Dice without squares: class 1 has none.
    for p, value in zip((0.8, 0.4), found, strict=True):
        divergence = 0.6 * math.log(0.6 / p) + 0.4 * math.log(0.4 / (1 - p))
        pseudo = (-math.log(p) + 1 - 0.5 * 2 * p / (p + 1)) / 2
        assert value == pytest.approx(pseudo * math.exp(-divergence) + divergence, rel=1e-5)
    assert found[0] == pytest.approx(0.45531, abs=1e-4)
    assert [pair.weight for pair in pairs] == [0.5, 0.5]


def test_the_weight_of_uncertainty():
    pairs = mixed_pairs(LOGITS, jnp.array([0.5, 0.5]), 0.0)
    found = float(pairs[0].loss_fn(pairs[0].reference, pairs[0].supervised, ONES))
    assert found == pytest.approx(0.45531 - 0.10465, abs=1e-4)


def test_the_pseudo_label_has_no_gradient_and_the_mean_has():
    def loss(logits, part):
        pairs = mixed_pairs(logits, jnp.array([0.5, 0.5]), 1.0)
        return part(pairs[0])

    gradient = jax.grad(loss)(LOGITS, lambda pair: pair.reference[0, 0, 0, 0])
    assert not np.any(gradient[0]) and not np.any(gradient[1])
    gradient = jax.grad(loss)(LOGITS, lambda pair: pair.loss_fn(pair.reference, pair.supervised, ONES))
    assert np.any(gradient[0]) and np.any(gradient[1])


def test_halves_pass_apart_and_all_decoders_learn_from_labels():
    nets = FixedNets([two_classes(0.6, 0.6), two_classes(0.7)])
    outputs = uaps(nets, make_views([0, 1], [2]), NO_AUGMENTATION, False)
    assert [len(images) for images in nets.seen] == [2, 1]
    assert len(outputs.labeled_logits) == len(outputs.unlabeled_pairs) == 4 and not outputs.labeled_pairs
    # Every decoder of the unlabeled image says class 0, so that each mix does.
    reference = outputs.unlabeled_pairs[0].reference[0, 0, 0]
    assert float(reference.sum()) == pytest.approx(1) and 0.7 <= float(reference[0]) < 1
    outputs = uaps(
        FixedNets([two_classes(0.6), two_classes(0.7)]), make_views([0], [2]), NO_AUGMENTATION, True
    )
    assert len(outputs.labeled_pairs) == 4


def test_a_step_has_a_finite_gradient():
    views = make_views([0], [2])
    loss, gradients = loss_and_gradient("uaps", [two_classes(0.5), two_classes(0.5)], (), views)
    # Decoders whose logits are 0 all say one half: no divergence, Dice 1 − ½·1/1.5, a quarter of four.
    term = (math.log(2) + 1 - 0.5 * 1 / 1.5) / 2
    assert float(loss) == pytest.approx(1.1 * term, abs=1e-4)
    assert all(np.isfinite(gradient).all() and np.any(gradient) for gradient in gradients)
