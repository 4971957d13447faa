"""EvalNet's examples: what is blocked, and the targets (methods.md 1.6), by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.data.readers import registry
from imjax.methods.generational import evalnet
from imjax.ops import augment, inconsistency, pair_scores

SUIM, HELA = registry.spec("suim"), registry.spec("hela")
STILL = augment.AugmentStrength(0, 0, 0.0, 0.0)


def disputed():
    """Two nets and the truth on 12×12 pixels: class 1 everywhere, but the second net says 2 in 6×6 pixels."""
    truth = np.full((12, 12), 1, np.uint8)
    members = np.stack([truth, truth])
    members[1, 3:9, 3:9] = 2
    return truth, members


# Kernels, pixels of label 0, IoU of class 1: the label is 0 wherever the nets differ, whatever is eroded.
BLOCKED = [
    (0, 0, 36, 108 / 144),
    # Without the IM's outer pixels, which the erosion frees and nothing fills.
    (3, 0, 36, 108 / 144),
    (5, 0, 36, 108 / 144),
    # Dilated by 3 again, the IM is what it was; by 5 it is 8×8.
    (3, 3, 36, 108 / 144),
    (3, 5, 64, 80 / 144),
    (0, 3, 64, 80 / 144),
]


@pytest.mark.parametrize(("erode", "dilate", "zeros", "iou"), BLOCKED)
def test_labels_of_evalnets_data_are_not_dilated(erode, dilate, zeros, iou):
    truth, members = disputed()
    image = np.full((12, 12, 3), 200, np.uint8)
    pair = evalnet.ensemble_example(
        jax.random.key(0), jnp.asarray(image), jnp.asarray(truth), jnp.asarray(members),
        jnp.int32(erode), jnp.int32(dilate), spec=SUIM, strength=STILL,
    )  # fmt: skip
    assert int((pair.mask == 0).sum()) == zeros
    assert float(pair.iou[1]) == pytest.approx(iou)


# Kernel, pixels that are blocked, IoU of alive, dead and position.
HELA_BLOCKED = [
    # The whole square of 6×6 is blocked: 108 of 144 pixels of alive and of dead are left.
    (0, 36, (108 / 144, 108 / 144, 1.0)),
    # 4×4 are. Labels stay 0 where the nets differ, on 18 pixels of each channel, 8 of them under the mask.
    (3, 16, (118 / 144, 118 / 144, 1.0)),
    # 2×2 are. Each channel by itself, 3×6, would vanish.
    (5, 4, (124 / 144, 124 / 144, 1.0)),
]


@pytest.mark.parametrize(("erode", "blocked", "iou"), HELA_BLOCKED)
def test_helas_pairs_erode_the_union_and_dilate_no_label(erode, blocked, iou):
    # Alive and dead cover the image, no position is there: the nets differ on 3×6 pixels of alive and, below
    # them, on as many of dead.
    truth = np.zeros((12, 12, 3), np.uint8)
    truth[..., :2] = 1
    truth[0, 0, 2] = 1
    members = np.stack([truth, truth])
    members[1, 3:6, 3:9, 0] = 0
    members[1, 6:9, 3:9, 1] = 0
    pair = evalnet.ensemble_example(
        jax.random.key(0), jnp.full((12, 12, 1), 200, jnp.uint8), jnp.asarray(truth), jnp.asarray(members),
        jnp.int32(erode), jnp.int32(0), spec=HELA, strength=STILL,
    )  # fmt: skip
    assert int((pair.image == 0).sum()) == blocked
    np.testing.assert_allclose(pair.iou, iou, atol=1e-6)


def test_labels_of_training_pairs_are_dilated():
    # Of the 36 disputed pixels the border of 20 gets class 1 from its neighbors.
    truth, members = disputed()
    pair = inconsistency.make_pseudo_label("multiclass", jnp.asarray(members), classes=9, erode=3)
    assert int((pair.label == 0).sum()) == 16


# Share of class 2 in 10×10 pixels of truth, detection, IoU target of a perfect mask.
DETECTED = [(1, 0, 0.0), (2, 1, 1.0), (50, 1, 1.0)]


@pytest.mark.parametrize(("pixels", "detection", "iou"), DETECTED)
def test_candidates_target_is_0_where_the_class_is_not_detected(pixels, detection, iou):
    truth = np.full(100, 1, np.uint8)
    truth[:pixels] = 2
    truth = jnp.asarray(truth.reshape(10, 10))
    image = jnp.zeros((10, 10, 3), jnp.uint8)
    example = evalnet.candidate_example(image, truth, truth, spec=SUIM)
    assert (float(example.detection[2]), float(example.iou[2])) == (detection, iou)


def scene(blocked, wrong):
    """Truth of 50 pixels of class 1 and 50 of class 2, the label with so many of each blocked or wrong."""
    truth = np.repeat([1, 2], 50).astype(np.uint8)
    inconsistent = np.zeros(100, bool)
    inconsistent[[*range(blocked), *range(50, 50 + blocked)]] = True
    label = np.where(inconsistent, 0, truth).astype(np.uint8)
    label[50 - wrong : 50] = 2
    return (jnp.asarray(x.reshape(10, 10)) for x in (truth, label, inconsistent))


# Blocked pixels of each class, wrong ones of class 1, score by the truth: mean of the classes 0, 1, 2.
ORACLE = [
    (0, 0, 1.0),
    # Half of the pixels are blocked and the rest is right: the whole truth without class 0 would give .5.
    (25, 0, 1.0),
    # Class 0: 50/50; class 1: 20/25; class 2: 25/30.
    (25, 5, (1 + 20 / 25 + 25 / 30) / 3),
    # Class 0 is in no blocked truth: class 1: 40/50, class 2: 50/60.
    (0, 10, (40 / 50 + 50 / 60) / 2),
    (50, 0, 1.0),
]


@pytest.mark.parametrize(("blocked", "wrong", "score"), ORACLE)
def test_gt_im_pp_blocks_the_truth_and_counts_class_0(blocked, wrong, score):
    truth, label, inconsistent = scene(blocked, wrong)
    assert float(evalnet.true_score(truth, label, inconsistent, spec=SUIM)) == pytest.approx(score)


# IoU and detection of two EvalNets for the classes 0, 1, 2; score, and score without class 0.
SCORES = [
    # Mean IoU .8, .6, .5; mean detection 1, .7, .5: all count.
    ([[0.7, 0.5, 0.4], [0.9, 0.7, 0.6]], [[1, 0.6, 0.4], [1, 0.8, 0.6]], 1.9 / 3, 1.1 / 2),
    # The last is detected by .49: it does not count.
    ([[0.7, 0.5, 0.4], [0.9, 0.7, 0.6]], [[1, 0.6, 0.4], [1, 0.8, 0.58]], 1.4 / 2, 0.6),
    # Class 0 alone.
    ([[0.7, 0.5, 0.4], [0.9, 0.7, 0.6]], [[1, 0, 0], [1, 0.9, 0.9]], 0.8, 0.0),
]


@pytest.mark.parametrize(("iou", "detection", "score", "without_first"), SCORES)
def test_score_of_a_pair(iou, detection, score, without_first):
    found = [
        float(evalnet.pair_score(jnp.array(iou), jnp.array(detection), spec=SUIM, skip_first=skip))
        for skip in (False, True)
    ]
    assert found == pytest.approx([score, without_first])


# Score, thresholds of SUIM, copies: step (.51 − .43)/5 = .016.
COPIES = [(0.43, 1), (0.44, 1), (0.447, 2), (0.463, 3), (0.50, 5), (0.51, 5), (0.745, 5), (0.39, 1)]


@pytest.mark.parametrize(("score", "copies"), COPIES)
def test_copies(score, copies):
    assert int(pair_scores.count_copies(jnp.float32(score), 0.43, 0.51)) == copies
