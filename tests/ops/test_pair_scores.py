"""EvalNet's numbers, worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.ops import pair_scores


def u8(*rows):
    return jnp.array(rows, jnp.uint8)


def test_class_iou_by_hand():
    # Class 1: truth {a, b}, prediction {a, c}: 1/3. Class 2: truth {c}, prediction {b}: 0. The void pixel d
    # is predicted 3 and not counted; class 0 is nowhere.
    iou = pair_scores.class_iou(truth=u8([1, 1, 2, 255]), prediction=u8([1, 2, 1, 3]), classes=4)
    np.testing.assert_allclose(iou, [0, 1 / 3, 0, 0])
    perfect = pair_scores.class_iou(truth=u8([1, 2]), prediction=u8([1, 2]), classes=4)
    assert perfect.tolist() == [0, 1, 1, 0]


def test_truth_and_prediction_go_by_name():
    # Published code hands them over the wrong way round (methods.md 1.12).
    with pytest.raises(TypeError):
        pair_scores.class_iou(u8([1]), u8([1]), 2)
    with pytest.raises(TypeError):
        pair_scores.binary_iou(u8([1]), u8([1]))


def test_class_iou_is_equivariant_under_renaming():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 5, (2, 8, 8)).astype(np.uint8)
    names = rng.permutation(5).astype(np.uint8)
    plain = pair_scores.class_iou(truth=jnp.asarray(truth), prediction=jnp.asarray(prediction), classes=5)
    named = pair_scores.class_iou(
        truth=jnp.asarray(names[truth]), prediction=jnp.asarray(names[prediction]), classes=5
    )
    np.testing.assert_array_equal(np.asarray(named)[names], plain)


def test_binary_iou_by_hand():
    # I = 1, U = 3, void left out: (1+1)/(3+1).
    iou = pair_scores.binary_iou(truth=u8([1, 1, 0, 0, 255]), prediction=u8([1, 0, 1, 0, 1]))
    assert float(iou) == 0.5
    assert float(pair_scores.binary_iou(truth=u8([0, 0]), prediction=u8([0, 0]))) == 1


def test_class_detection_needs_more_than_one_percent():
    truth = np.full((10, 20), 2, np.uint8)
    truth[0, :2] = 1  # exactly 1 % of 200 pixels
    assert pair_scores.class_detection(jnp.asarray(truth), 3).tolist() == [0, 0, 1]
    truth[0, 2] = 1
    assert pair_scores.class_detection(jnp.asarray(truth), 3).tolist() == [0, 1, 1]


def test_channel_detection_counts_from_its_share():
    masks = np.zeros((50, 60, 3), np.uint8)
    masks[0, :30] = 1  # exactly 1 % of 3000
    masks[0, 3:, 2] = 0  # exactly 0.1 %
    detect = lambda m: pair_scores.channel_detection(jnp.asarray(m), (0.01, 0.01, 0.001)).tolist()  # noqa: E731
    assert detect(masks) == [1, 1, 1]
    masks[0, 0] = 0
    assert detect(masks) == [0, 0, 0]
    with pytest.raises(ValueError, match="1 shares for 3"):
        pair_scores.channel_detection(jnp.asarray(masks), (0.1,))


def test_blocked_detection_by_hand():
    # 10×10. Class 1: 10 pixels, 3 left: 0.3, detected. Class 2: 10 pixels, 2 left: not. Class 3: 60 pixels,
    # 10 left: below 0.3 of itself but 10 % of the image, detected. Class 4 is absent. Class 5: 20, 5 left.
    truth = np.repeat([1, 2, 3, 5], [10, 10, 60, 20]).reshape(10, 10).astype(np.uint8)
    blocked = np.ones(100, bool)
    for start, left in ((0, 3), (10, 2), (20, 10), (80, 5)):
        blocked[start : start + left] = False
    blocked = blocked.reshape(10, 10)
    label = np.where(blocked, 0, truth).astype(np.uint8)

    def detect(label, blocked):
        return pair_scores.blocked_detection(
            truth=jnp.asarray(truth), label=jnp.asarray(label), inconsistent=jnp.asarray(blocked), classes=6
        ).tolist()

    assert detect(label, blocked) == [1, 1, 0, 1, 0, 0]
    assert detect(truth, np.zeros_like(blocked)) == [0, 1, 1, 1, 0, 1]


def test_pair_score_by_hand():
    # Means over the two EvalNets: IoU .2 .6 .8 .9, detection .9 .5 .6 .4. Detected: 0, 1, 2.
    iou = jnp.array([[0.1, 0.5, 0.8, 0.9], [0.3, 0.7, 0.8, 0.9]])
    detection = jnp.array([[0.9, 0.25, 0.6, 0.4], [0.9, 0.75, 0.6, 0.4]])
    np.testing.assert_allclose(pair_scores.pair_score(iou, detection), (0.2 + 0.6 + 0.8) / 3, rtol=1e-6)
    np.testing.assert_allclose(pair_scores.pair_score(iou, detection, skip_first=True), 0.7, rtol=1e-6)
    assert float(pair_scores.pair_score(iou, jnp.zeros((2, 4)))) == 0
    np.testing.assert_allclose(pair_scores.pair_score(jnp.array([[0.5], [0.8]]), None), 0.65, rtol=1e-6)


@pytest.mark.parametrize("min_score,max_score", [(0.72, 0.75), (0.59, 0.62), (0.43, 0.51), (0.372, 0.453)])
def test_copies_at_and_around_the_thresholds(min_score, max_score):
    step = (max_score - min_score) / 5
    # Whole numbers of steps above the lowest score: 0 → 1, 1 → 2, … 4 → 5, 5 → min(5, 6) = 5.
    at = [min_score + i * step for i in range(6)]
    table = list(zip(at, [1, 2, 3, 4, 5, 5], strict=True))
    table += [(score - 0.01 * step, copies) for score, copies in zip(at, [1, 1, 2, 3, 4, 5], strict=True)]
    table += [(min_score + 0.01 * step, 1), (max_score + 0.01 * step, 5), (0.0, 1), (1.0, 5)]
    copies = jax.jit(pair_scores.count_copies)
    for score, wanted in table:
        assert int(copies(jnp.float32(score), min_score, max_score)) == wanted, score


def test_copies_with_equal_thresholds_and_under_vmap():
    got = jax.vmap(pair_scores.count_copies, in_axes=(0, None, None))(jnp.array([0.4, 0.5, 0.6]), 0.5, 0.5)
    assert got.tolist() == [1, 1, 5]
