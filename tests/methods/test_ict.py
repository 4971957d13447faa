"""ICT by hand: what is mixed with what, and that teacher and student get the same shares."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from imjax.config.joint_schema import ICT
from imjax.methods.joint.ict import ict, mix_with_next
from tests.methods.fixed_nets import NO_AUGMENTATION, FixedNets, loss_and_gradient, make_views, two_classes


def test_mix_with_the_next_image():
    shares = jnp.array([0.25, 1.0, 0.5])
    found = mix_with_next(shares, jnp.array([[0.0], [8.0], [2.0]]))
    np.testing.assert_allclose(found, [[6.0], [8.0], [1.0]])


def test_student_and_teacher_mix_alike():
    views = make_views([51], [0, 255])
    nets = FixedNets([two_classes(0.6, 0.5, 0.5)], [two_classes(0.9, 0.3)])
    outputs = ict(nets, views, NO_AUGMENTATION, False)
    # The labeled image is not mixed. Black and white: the gray of the first mix is 1 − λ, of the second λ.
    labeled, first, second = np.asarray(nets.seen[0])[:, 0, 0, 0]
    assert labeled == pytest.approx(0.2)
    np.testing.assert_array_equal(nets.teacher_saw[0], views.images[1:])
    (pair,) = outputs.unlabeled_pairs
    expected = [(1 - first) * 0.9 + first * 0.3, second * 0.3 + (1 - second) * 0.9]
    np.testing.assert_allclose(pair.reference[..., 0].ravel(), expected, rtol=1e-5)
    np.testing.assert_allclose(pair.reference.sum(-1), 1, rtol=1e-6)


def test_alpha_decides_how_much_is_mixed():
    grays = [0, 255] * 50

    def shares(alpha):
        joint = dataclasses.replace(NO_AUGMENTATION, ict=ICT(alpha=alpha))
        nets = FixedNets([two_classes(*[0.5] * 101)], [two_classes(*[0.5] * 100)])
        ict(nets, make_views([0], grays), joint, False)
        return np.asarray(nets.seen[0])[1:, 0, 0, 0]

    # Beta(α, α) has the variance 1/(4(2α + 1)): .179 and .0061.
    assert np.var(shares(0.2)) == pytest.approx(0.179, abs=0.04)
    assert np.var(shares(20.0)) == pytest.approx(0.0061, abs=0.004)


def test_labeled_pairs_are_those_of_mean_teacher():
    nets = FixedNets([two_classes(0.6, 0.5)], [two_classes(0.9, 0.3)])
    outputs = ict(nets, make_views([51], [0]), NO_AUGMENTATION, True)
    (pair,) = outputs.labeled_pairs
    assert float(pair.reference[0, 0, 0, 0]) == pytest.approx(0.9)
    assert len(nets.teacher_saw[0]) == 2


def test_a_step_has_a_finite_gradient():
    # Both predictions of the teacher are alike, so that every mix is: squared difference .4².
    views = make_views([51], [0, 255])
    loss, (gradient,) = loss_and_gradient("ict", [two_classes(0.6, 0.5, 0.5)], [two_classes(0.9, 0.9)], views)
    supervised = (-math.log(0.6) + 1 - 0.5 * 1.2 / 1.36) / 2
    assert float(loss) == pytest.approx(supervised + 0.1 * 0.16, abs=1e-4)
    assert np.isfinite(gradient).all() and np.any(gradient[1])
