"""Scores of one image: by hand, and against a plain twin."""

import itertools

import numpy as np
import pytest
from handmade import SPECS

from imjax.inference import image_scores


def binary(*masks):
    """Probabilities .9 and .1 of nets' masks, `[net, 1, pixel, 1]`."""
    return np.where(np.array(masks, bool), 0.9, 0.1).astype(np.float32)[:, None, :, None]


def test_two_nets_by_hand():
    # Both mark one pixel, each one more; nobody the fourth and the fifth.
    scores = image_scores.score_image(SPECS["binary"], binary([1, 1, 0, 0, 0], [1, 0, 1, 0, 0]))
    assert scores.agreement == scores.pairwise_iou == pytest.approx(1 / 3)
    # Mean .9, .5, .5, .1, .1: one pixel is marked. Expected: .9 over 1 + .5 + .5 + .1 + .1.
    assert scores.expected_iou == pytest.approx(0.9 / 2.2)
    assert scores.mixture == pytest.approx((1 / 3 + 0.9 / 2.2) / 2)
    assert scores.mean_probability == pytest.approx((0.9 + 0.5 + 0.5 + 0.9 + 0.9) / 5)
    assert image_scores.estimate_quality(SPECS["binary"], binary([1, 1, 0], [1, 0, 1])) == pytest.approx(
        1 / 3
    )


def test_easy_background_makes_no_mask_good():
    """The fault of a mean over all pixels: the image in which less is found has the higher one."""
    found, lost = binary([1] * 5 + [0] * 5, [1] * 4 + [0] * 6), binary([1] + [0] * 9, [0] * 10)
    good, bad = (image_scores.score_image(SPECS["binary"], one) for one in (found, lost))
    assert good.agreement == 0.8 and bad.agreement == 0 and good.mixture > bad.mixture
    assert abs(good.mean_probability - bad.mean_probability) < 0.01


def test_several_nets_and_classes_equal_a_plain_twin():
    draw = np.random.default_rng(0)
    for kind, spec in SPECS.items():
        chance = draw.dirichlet(np.ones(spec.outputs), (3, 6, 5)).astype(np.float32)
        scores = image_scores.score_image(spec, chance)
        if kind in ("binary", "multilabel"):
            cut = 0.5
            planes = [[chance[n, ..., k] > cut for k in range(spec.outputs)] for n in range(3)]
        else:
            # The reserved output is no class, and a background no object.
            own = [k for k in range(spec.outputs) if k or not (spec.reserved or spec.background)]
            first = int(spec.reserved)
            label = chance[..., first:].argmax(-1) + first
            planes = [[label[n] == k for k in own] for n in range(3)]
        pairs = []
        for a, b in itertools.combinations(planes, 2):
            each = [(p & q).sum() / (p | q).sum() for p, q in zip(a, b, strict=True) if (p | q).any()]
            if each:
                pairs.append(np.mean(each))
        assert scores.pairwise_iou == pytest.approx(np.mean(pairs))
        assert 0 <= scores.agreement <= scores.pairwise_iou <= 1
        assert 0 <= scores.expected_iou <= 1


def test_nothing_marked_is_as_good_as_nothing_is_likely():
    nothing = binary([0, 0], [0, 0])
    assert np.isnan(image_scores.score_image(SPECS["binary"], nothing).mixture)
    assert image_scores.estimate_quality(SPECS["binary"], nothing) == pytest.approx(0.9)
    # Of classes with a background the objects' probability counts, not that of the ground.
    ground = np.array([[[[0.9, 0.06, 0.04]]]], np.float32)
    assert image_scores.estimate_quality(SPECS["multiclass"], ground) == pytest.approx(0.94)


def test_one_net_has_its_probabilities_only():
    scores = image_scores.score_image(SPECS["binary"], binary([1, 0, 0, 0]))
    assert scores.agreement == scores.pairwise_iou == 1
    assert scores.expected_iou == pytest.approx(0.9 / 1.3)
    assert image_scores.estimate_quality(SPECS["binary"], binary([1, 0, 0, 0])) == scores.expected_iou
