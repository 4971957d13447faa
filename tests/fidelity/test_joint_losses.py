"""Losses of the joint methods as released (methods.md 2, 2.2), by hand."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax import losses
from imjax.config import get_config
from imjax.config.joint_schema import Joint
from imjax.data.spec import DatasetSpec
from imjax.methods.joint.base import ConsistencyPair, JointOutputs, hard_cross_entropy, mse_consistency
from imjax.methods.joint.loss import initial_thresholds, joint_loss
from imjax.methods.registry import JOINT_METHODS
from imjax.ops import metassl

SPEC = DatasetSpec("toy", "Toy", "multiclass", ("no", "yes"), ((0, 0, 0),) * 2, background=True)
LABEL = jnp.zeros((1, 1, 2), jnp.uint8)


def logits(*first):
    """Of two classes for each pixel, where the first has this probability: `[1, 1, pixels, 2]`."""
    p = jnp.array(first)
    return jnp.log(jnp.stack([p, 1 - p], -1))[None, None]


def total(name, outputs, weighting="none", step=10**6, label=LABEL, joint=None):
    joint, method = dataclasses.replace(joint or Joint(), pixel_weighting=weighting), JOINT_METHODS[name]
    thresholds = initial_thresholds(method, joint, SPEC)
    return joint_loss(outputs, label, jnp.int32(step), thresholds, method=method, joint=joint, spec=SPEC)


# Labeled loss of one prediction, predictions, what a method makes of them: a sum over nets or passes, the
# mean over CCT's four decoders (a sum would be 4.70 where the mean is 1.175).
SUPERVISED = [("supervised", 1, 1), ("cps", 2, 2), ("rdrop", 2, 2), ("cct", 4, 1), ("mean_teacher", 1, 1)]


@pytest.mark.parametrize(("name", "count", "factor"), SUPERVISED)
def test_supervised_term(name, count, factor):
    one = logits(0.3, 0.6)
    single = float(losses.ce_dice_loss(one, LABEL))
    found = total(name, JointOutputs([one] * count, [], []))
    assert float(found.metrics["supervised"]) == pytest.approx(factor * single, rel=1e-5)


def test_ce_dice_by_hand():
    # p(0) = .8 at a pixel of class 0 and .4 at one of class 1: CE = (−ln .8 − ln .6)/2, Dice with squares.
    label = jnp.array([[[0, 1]]], jnp.uint8)
    entropy = -(math.log(0.8) + math.log(0.6)) / 2
    dice = 1 - (1.6 / 1.8 + 1.2 / 1.4) / 2
    assert float(losses.ce_dice_loss(logits(0.8, 0.4), label)) == pytest.approx(
        (entropy + dice) / 2, abs=1e-4
    )


def pair(first, weight=1.0):
    """A pair with cross-entropy −ln(first)."""
    sure = jax.nn.softmax(logits(0.99, 0.99), -1)
    return ConsistencyPair(sure, logits(first, first), hard_cross_entropy, weight=weight)


# Step, labeled loss a, consistency b, total. FixMatch as in UniMatch's code: no ramp from the first step on.
TOTALS = [
    ("fixmatch", 0, 1 / 2, 1 / 2),
    ("fixmatch", 10**6, 1 / 2, 1 / 2),
    ("unimatch", 0, 1 / 2, 1 / 2),
    ("cps", 0, 1, 0.1 * math.exp(-5)),
    ("cps", 10**6, 1, 0.1),
    ("mean_teacher", 10**6, 1, 0.1),
]


@pytest.mark.parametrize(("name", "step", "labeled", "unlabeled"), TOTALS)
def test_total_loss(name, step, labeled, unlabeled):
    one = logits(0.3, 0.6)
    found = total(name, JointOutputs([one], [pair(0.7)], []), step=step)
    expected = labeled * float(losses.ce_dice_loss(one, LABEL)) + unlabeled * -math.log(0.7)
    assert float(found.loss) == pytest.approx(expected, rel=1e-5)


# Of one labeled pixel: p(0) by reference and by the trained net, its region and what another rule would give.
REGIONS = [
    # Both say 0; the net is sure (.99 > .945), the reference is not.
    (0.6, 0.99, "UC"),
    # The reference is sure, the net is not: .6 ≤ (.9 + .6)/2.
    (0.99, 0.6, "US"),
    (0.3, 0.99, "DC"),
    (0.01, 0.6, "DS"),
]


@pytest.mark.parametrize(("reference", "supervised", "region"), REGIONS)
def test_labeled_pixels_are_weighed_by_the_trained_net_itself(reference, supervised, region):
    entry = ConsistencyPair(
        jax.nn.softmax(logits(reference, reference), -1), logits(supervised, supervised), mse_consistency
    )
    outputs = JointOutputs([], [entry], [entry])
    joint = dataclasses.replace(
        Joint(), pixel_weighting="metassl", rampup=dataclasses.replace(Joint().rampup, max_weight=1.0)
    )
    method = dataclasses.replace(JOINT_METHODS["mean_teacher"], num_pairs=lambda joint: 1)
    found = joint_loss(
        outputs, LABEL, jnp.int32(10**6), initial_thresholds(method, joint, SPEC),
        method=method, joint=joint, spec=SPEC,
    )  # fmt: skip
    assert float(found.metrics[f"labeled_region_share_{region.lower()}"]) == 1
    # The threshold of the class that the net gives: ½·.9 + ½·(its probability).
    assert float(found.thresholds["labeled"][0, 0]) == pytest.approx(0.45 + supervised / 2)
    # Loss: w · (Σ CE over the region)/(pixels + 1), here of two pixels.
    weight = method.region_weights(joint.metassl)[1][metassl.REGIONS.index(region)]
    labeled_only = total_of_labeled(entry, method, joint)
    assert labeled_only == pytest.approx(weight * 2 * -math.log(supervised) / 3, rel=1e-4)


def total_of_labeled(entry, method, joint):
    """MetaSSL's loss of the labeled pixels alone: the weights of the others are 0."""
    silent = dataclasses.replace(joint, metassl=dataclasses.replace(joint.metassl, unlabeled=(0.0,) * 4))
    found = joint_loss(
        JointOutputs([], [entry], [entry]), LABEL, jnp.int32(10**6),
        initial_thresholds(method, joint, SPEC), method=method, joint=silent, spec=SPEC,
    )  # fmt: skip
    return float(found.loss)


# Of an unlabeled pixel: p(0) by reference and by the trained net, its region.
UNLABELED_REGIONS = [(0.99, 0.6, "UC"), (0.6, 0.99, "US"), (0.99, 0.3, "DC"), (0.6, 0.3, "DS")]


@pytest.mark.parametrize(("reference", "supervised", "region"), UNLABELED_REGIONS)
def test_gradient_of_metassls_unlabeled_loss(reference, supervised, region):
    weights = (50.0, 40.3, 8.9, 0.15)
    metassl_settings = dataclasses.replace(Joint().metassl, unlabeled=weights, labeled=(0.0,) * 4)
    joint = dataclasses.replace(
        Joint(), pixel_weighting="metassl", metassl=metassl_settings,
        rampup=dataclasses.replace(Joint().rampup, max_weight=1.0),
    )  # fmt: skip
    method = JOINT_METHODS["mean_teacher"]

    def loss(reference_logits, supervised_logits):
        entry = ConsistencyPair(jax.nn.softmax(reference_logits, -1), supervised_logits, mse_consistency)
        outputs = JointOutputs([], [entry], [entry])
        return joint_loss(
            outputs, LABEL, jnp.int32(10**6), initial_thresholds(method, joint, SPEC),
            method=method, joint=joint, spec=SPEC,
        ).loss  # fmt: skip

    both = logits(reference, reference), logits(supervised, supervised)
    to_reference, to_supervised = jax.grad(loss, (0, 1))(*both)
    # w·(Σ CE)/(pixels + 1) of two pixels, target class 0: w/3·(p − (1, 0)) in each.
    weight = weights[metassl.REGIONS.index(region)]
    expected = weight / 3 * np.array([supervised - 1, 1 - supervised])
    np.testing.assert_allclose(to_supervised, np.broadcast_to(expected, (1, 1, 2, 2)), rtol=1e-4)
    assert not np.asarray(to_reference).any()


# UC, US, DC, DS of unlabeled and of labeled pixels.
WEIGHTS = {
    "cps": ((50, 40.3, 8.9, 0.15), (85, 82.7, 68.5, 41.0)),
    "mean_teacher": ((50, 40, 0.20, 6.4), (50, 35.7, 18.2, 25.5)),
    "cct": ((50, 40.3, 0.15, 8.9), (50, 48.7, 24.1, 40.3)),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_region_weights(name):
    found = JOINT_METHODS[name].region_weights(Joint().metassl)
    for weights, expected in zip(found, WEIGHTS[name], strict=True):
        assert weights == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(("name", "sigma"), [("mean_teacher", 0.1), ("mean_teacher_metassl", 0.0)])
def test_metassl_gives_the_teacher_no_noise(name, sigma):
    assert get_config("acdc", name).joint.teacher_noise == sigma


def test_metassl_has_no_factor_on_its_total():
    # ½(CE + Dice) + c(t)·(...), also beside methods whose own total has a factor ½.
    one = logits(0.3, 0.6)
    joint = Joint()
    zero = dataclasses.replace(joint.metassl, unlabeled=(0.0,) * 4, labeled=(0.0,) * 4)
    outputs = JointOutputs([one], [pair(0.7)], [pair(0.7)])
    found = total("fixmatch", outputs, "metassl", joint=dataclasses.replace(joint, metassl=zero))
    assert float(found.loss) == pytest.approx(float(losses.ce_dice_loss(one, LABEL)), rel=1e-5)


# Predictions of the reference in two batches (all of class 0), threshold after each; start .9, momentum ½.
@pytest.mark.parametrize(("first", "second"), [(0.7, 0.9), (1.0, 1.0)])
def test_thresholds_move_by_half(first, second):
    counted = jnp.ones((1, 1, 2), bool)
    tau = jnp.full(2, 0.9)
    expected = 0.9
    for p in (first, second):
        tau = metassl.update_thresholds(tau, jax.nn.softmax(logits(p, p), -1), counted)
        expected = (expected + p) / 2
        np.testing.assert_allclose(tau, [expected, 0.9], rtol=1e-5)
