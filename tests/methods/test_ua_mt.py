"""UA-MT by hand: entropy, threshold, which pixels count, and what they are divided by."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.config.joint_schema import UAMT
from imjax.methods.joint.ua_mt import certain_mse, entropy, ua_mt, uncertainty_threshold
from tests.methods.fixed_nets import NO_AUGMENTATION, FixedNets, loss_and_gradient, make_views, two_classes

JOINT = dataclasses.replace(NO_AUGMENTATION, ua_mt=UAMT(passes=2))


def test_entropy_in_nats():
    p = jnp.array([[0.5, 0.5], [0.9, 0.1], [1.0, 0.0]])
    np.testing.assert_allclose(entropy(p), [math.log(2), 0.325083, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("step", "classes", "expected"),
    [
        (0, 2, (0.75 + 0.25 * math.exp(-5)) * math.log(2)),
        (500, 2, (0.75 + 0.25 * math.exp(-1.25)) * math.log(2)),
        (1000, 2, math.log(2)),
        (5000, 4, math.log(4)),
    ],
)
def test_the_threshold_rises_to_the_largest_entropy(step, classes, expected):
    assert float(uncertainty_threshold(step, classes, 1000)) == pytest.approx(expected, rel=1e-6)


def test_only_pixels_with_a_certain_mean_count():
    views = make_views([0], [10, 20])
    # One pass after the other says .9 of the first image; of the second they contradict each other, each
    # certain of itself: the mean is .5, its entropy ln 2.
    teacher = [two_classes(0.9, 0.9), two_classes(0.9, 0.9, 0.9, 0.1)]
    nets = FixedNets([two_classes(0.6, 0.5, 0.5)], teacher)
    outputs = ua_mt(nets, views, JOINT, False)
    (pair,) = outputs.unlabeled_pairs
    np.testing.assert_array_equal(pair.mask.ravel(), [True, False])
    # (.4² + .4²)/(2·1): divided by the certain pixel alone.
    loss = pair.loss_fn(pair.reference, pair.supervised, pair.mask.astype(jnp.float32))
    assert float(loss) == pytest.approx(0.16, rel=1e-5)
    # The target has a noisy pass of its own; the others see both images twice, with other noise.
    assert [len(images) for images in nets.teacher_saw] == [2, 4]
    twice = np.asarray(nets.teacher_saw[1])
    assert not np.allclose(twice[:2], twice[2:]) and np.abs(twice[:2] - twice[2:]).max() <= 0.4 + 1e-6


def test_passes_are_counted():
    nets = FixedNets([two_classes(0.6, 0.5)], [two_classes(0.9)] + [two_classes(0.9, 0.9)] * 4)
    ua_mt(nets, make_views([0], [10]), NO_AUGMENTATION, False)
    assert len(nets.teacher_saw) == 1 + 8 // 2


def test_without_a_certain_pixel_the_loss_is_zero_and_its_gradient_too():
    zero = jnp.zeros((1, 1, 1))
    loss, gradient = jax.value_and_grad(lambda x: certain_mse(jnp.array([[[[0.9, 0.1]]]]), x, zero))(
        two_classes(0.5)
    )
    assert float(loss) == 0 and not np.any(gradient)


def test_labeled_pairs_have_no_mask():
    teacher = [two_classes(0.9, 0.9), two_classes(0.5, 0.5)]
    outputs = ua_mt(FixedNets([two_classes(0.6, 0.5)], teacher), make_views([0], [10]), JOINT, True)
    assert len(outputs.labeled_pairs) == 1 and outputs.labeled_pairs[0].mask is None


def test_a_step_has_a_finite_gradient():
    views = make_views([0], [10, 20])
    teacher = [two_classes(0.9, 0.9), two_classes(0.9, 0.9, 0.9, 0.1)]
    loss, (gradient,) = loss_and_gradient("ua_mt", [two_classes(0.6, 0.5, 0.5)], teacher, views, JOINT)
    # Labels: CE −ln .6; Dice with squares: class 0 1.2/1.36, class 1 0.
    supervised = (-math.log(0.6) + 1 - 0.5 * 1.2 / 1.36) / 2
    assert float(loss) == pytest.approx(supervised + 0.1 * 0.16, abs=1e-4)
    assert np.isfinite(gradient).all() and np.any(gradient[1]) and not np.any(gradient[2])
