"""Metrics: a slow twin, and numbers worked by hand for the definitions that decide comparability."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imjax.data.spec import DatasetSpec
from imjax.evaluation import metrics
from imjax.evaluation.image_counts import COUNTS


def spec(kind, classes):
    return DatasetSpec("toy", "Toy", kind, tuple(classes), ((0, 0, 0),) * len(classes))


def random_labels(seed=0, n=5, k=4, void=0.1):
    rng = np.random.default_rng(seed)
    truth, prediction = rng.integers(0, k, (2, n, 7, 9)).astype(np.uint8)
    prediction = np.where(rng.random(truth.shape) < 0.6, truth, prediction)
    return np.where(rng.random(truth.shape) < void, 255, truth).astype(np.uint8), prediction


def confusions(truth, prediction, k):
    one = lambda t, p: metrics.confusion_matrix(truth=t, prediction=p, classes=k)  # noqa: E731
    return np.asarray(jax.jit(jax.vmap(one))(truth, prediction))


def test_confusion_slow_twin():
    truth, prediction = random_labels()
    got = confusions(truth, prediction, 4)
    for matrix, t_image, p_image in zip(got, truth, prediction, strict=True):
        wanted = np.zeros((4, 4), int)
        for t, p in zip(t_image.ravel(), p_image.ravel(), strict=True):
            if t != 255:
                wanted[t, p] += 1
        np.testing.assert_array_equal(matrix, wanted)


def test_rows_are_the_truth():
    got = metrics.confusion_matrix(
        truth=jnp.zeros((1, 3), jnp.uint8), prediction=jnp.ones((1, 3), jnp.uint8), classes=2
    )
    assert got.tolist() == [[0, 3], [0, 0]] and got.dtype == jnp.int32


def test_values_that_are_no_class_are_left_out():
    truth, prediction = jnp.array([[0, 2, 1, 255]], jnp.uint8), jnp.array([[2, 0, 1, 1]], jnp.uint8)
    assert metrics.confusion_matrix(truth=truth, prediction=prediction, classes=2).tolist() == [
        [0, 0],
        [0, 1],
    ]


def test_channel_confusion_is_one_binary_confusion_per_channel():
    truth, prediction = np.random.default_rng(0).integers(0, 2, (2, 6, 6, 3)).astype(np.uint8)
    got = metrics.channel_confusion(truth=jnp.asarray(truth), prediction=jnp.asarray(prediction))
    for c in range(3):
        one = metrics.confusion_matrix(
            truth=jnp.asarray(truth[..., c]), prediction=jnp.asarray(prediction[..., c]), classes=2
        )
        np.testing.assert_array_equal(got[c], one)


# Two images, three classes, rows truth:
#   A: truth 0: 3 right, 1 called 1; truth 1: 2 right. Class 2 only in the prediction: 2 pixels of truth 1.
#   B: truth 2: 4 right, 4 called 0.
A = [[3, 1, 0], [0, 2, 2], [0, 0, 0]]
B = [[0, 0, 0], [0, 0, 0], [4, 0, 4]]
VOID_ONLY = np.zeros((3, 3), int).tolist()
AB = np.array([A, B, VOID_ONLY])


def test_multiclass_by_hand():
    # A: IoU 0 = 3/4, IoU 1 = 2/5 (2 right, 2 missed, 1 wrong); class 2 is not in A's truth: mean .575.
    # B: IoU 2 = 4/8. The image of void pixels is skipped: (.575 + .5)/2.
    assert metrics.miou_per_image(AB) == pytest.approx((0.575 + 0.5) / 2)
    # Accuracy 5/8 and 4/8.
    assert metrics.mpa(AB) == pytest.approx((0.625 + 0.5) / 2)
    # All together: class 0: 3/(4+7−3) = 3/8; class 1: 2/5; class 2: 4/(8+6−4) = 4/10.
    np.testing.assert_allclose(metrics.iou_dataset(AB), [3 / 8, 2 / 5, 4 / 10])
    assert metrics.miou_dataset(AB) == pytest.approx((0.375 + 0.4 + 0.4) / 3)
    np.testing.assert_allclose(metrics.dice_dataset(AB), [6 / 11, 4 / 7, 8 / 14])


def test_the_background_is_in_no_mean_over_classes():
    # Class 0 left out. A: of classes 1 and 2 only 1 is true: IoU 2/5, Dice 2·2/(4 + 3) = 4/7.
    # B: IoU 4/8, Dice 2·4/(8 + 4) = 2/3. C: background only, and wrong in one pixel: skipped.
    # D: class 1 IoU 1/2, Dice 2/3; class 2 missed: 0 and 0; means 1/4 and 1/3.
    c, d = [[7, 1, 0], [0, 0, 0], [0, 0, 0]], [[5, 0, 0], [1, 1, 0], [1, 0, 0]]
    toy = dataclasses.replace(spec("multiclass", ["ground", "pore", "crack"]), background=True)
    figures = metrics.summarize(toy, np.array([A, B, c, d, VOID_ONLY]))
    assert figures["miou", ""] == pytest.approx((2 / 5 + 1 / 2 + 1 / 4) / 3)
    assert figures["dice", ""] == pytest.approx((4 / 7 + 2 / 3 + 1 / 3) / 3)
    # The pixel accuracy counts every pixel: 5/8, 4/8, 7/8, 6/8.
    assert figures["mpa", ""] == pytest.approx((5 + 4 + 7 + 6) / 8 / 4)
    # Together: rows [15 2 0] [1 3 2] [5 0 4]. Class 1: true 6, predicted 5, right 3; class 2: true 9,
    # predicted 6, right 4. Class 0: true 17, predicted 21, right 15.
    assert figures["miou_dataset", ""] == pytest.approx((3 / 8 + 4 / 11) / 2)
    assert figures["dice_dataset", ""] == pytest.approx((6 / 11 + 8 / 15) / 2)
    assert figures["iou_dataset", "ground"] == pytest.approx(15 / 23)
    assert figures["dice_dataset", "ground"] == pytest.approx(30 / 38)
    # Nothing but background: no figure, and no warning.
    assert np.isnan(metrics.summarize(toy, np.array([c]))["dice", ""])


def test_a_class_outside_the_truth_does_not_count():
    # A alone: class 2 is predicted (union 2, IoU 0) but not in the truth; a fourth class is nowhere.
    padded = np.pad(np.array([A]), ((0, 0), (0, 1), (0, 1)))
    np.testing.assert_allclose(metrics.iou_dataset(padded), [3 / 4, 2 / 5, 0, np.nan])
    assert metrics.miou_dataset(padded) == pytest.approx(0.575)


def test_renaming_classes_changes_no_mean():
    truth, prediction = random_labels(3)
    names = np.array([2, 0, 3, 1] + [255] * 252, np.uint8)
    plain, named = confusions(truth, prediction, 4), confusions(names[truth], names[prediction], 4)
    for metric in (metrics.miou_per_image, metrics.mpa, metrics.miou_dataset, metrics.mdice_dataset):
        assert metric(plain) == pytest.approx(metric(named))
    np.testing.assert_allclose(metrics.iou_dataset(named)[names[:4]], metrics.iou_dataset(plain))


def test_binary_by_hand():
    # Image 1: I = 2, A = 4, B = 3, U = 5: IoU 2/5, Dice 4/7, with smooth 1 5/8. Image 2: nothing there or
    # found: 1 and 1, by the paper's IoU 0. Image 3 has no counted pixel.
    matrices = np.array([[[9, 1], [2, 2]], [[14, 0], [0, 0]], [[0, 0], [0, 0]]])
    assert metrics.binary_iou(matrices) == pytest.approx((2 / 5 + 1) / 2)
    assert metrics.binary_dice(matrices) == pytest.approx((4 / 7 + 1) / 2)
    assert metrics.smoothed_dice(matrices) == pytest.approx((5 / 8 + 1) / 2)
    counts = {("images", ""): 2, ("images_empty", ""): 1}
    counts |= {("predicted_nothing", ""): 0, ("predicted_one_class", ""): 0}
    own = spec("binary", ["lesion"])
    assert metrics.summarize(own, jnp.asarray(matrices)) == counts | {
        ("iou", ""): pytest.approx(0.7),
        ("iou_nonempty", ""): pytest.approx(2 / 5),
        ("dice", ""): pytest.approx(11 / 14),
        ("dice_nonempty", ""): pytest.approx(4 / 7),
        ("iou_dataset", ""): pytest.approx(2 / 5),
        ("dice_dataset", ""): pytest.approx(4 / 7),
    }
    published = metrics.summarize(own.with_empty_iou("zero"), matrices)
    means = [published[name, ""] for name in ("iou", "dice", "dice_smooth")]
    assert means == pytest.approx([1 / 5, 2 / 7, 13 / 16])


def test_a_net_that_paints_nothing_has_no_score():
    # One object of a single pixel in each of two images; the third has none.
    matrices = np.array([[[15, 0], [1, 0]], [[15, 0], [1, 0]], [[16, 0], [0, 0]]])
    figures = metrics.summarize(spec("binary", ["speck"]), matrices)
    zero = [figures[name, ""] for name in ("iou_nonempty", "dice_nonempty", "iou_dataset", "dice_dataset")]
    assert zero == [0, 0, 0, 0]
    assert figures["iou", ""] == pytest.approx(1 / 3) and metrics.binary_iou(matrices[:2]) == 0
    assert [figures[name, ""] for name in COUNTS] == [3, 1, 2, 0]
    # Foreground everywhere: 1/16 in two images, 0 in the third.
    painted = np.array([[[0, 15], [0, 1]], [[0, 15], [0, 1]], [[0, 16], [0, 0]]])
    figures = metrics.summarize(spec("binary", ["speck"]), painted)
    assert figures["iou", ""] == pytest.approx(2 / 48)
    assert [figures[name, ""] for name in COUNTS] == [3, 1, 0, 2]


def test_one_class_everywhere_is_counted():
    # Image 1 has classes 1 and 2, called 1 throughout; image 2 is of class 1, rightly so; image 3 is right.
    one, pure, right = np.zeros((3, 3, 3), int)
    one[1, 1], one[2, 1], pure[1, 1], right[1, 1], right[2, 2] = 3, 5, 8, 4, 4
    matrices = np.array([one, pure, right])
    figures = metrics.summarize(spec("multiclass", ["ground", "fish", "reef"]), matrices)
    assert figures["images", ""] == 3 and figures["predicted_one_class", ""] == 1
    assert not {("images_empty", ""), ("predicted_nothing", "")} & set(figures)
    # With a background, that class alone is nothing.
    nothing = np.zeros((3, 3), int)
    nothing[0, 0], nothing[2, 0] = 5, 3
    empty = np.zeros((3, 3), int)
    empty[0, 0] = 8
    ground = dataclasses.replace(spec("multiclass", ["ground", "fish", "reef"]), background=True)
    figures = metrics.summarize(ground, np.array([one, nothing, empty, right]))
    assert [figures[name, ""] for name in COUNTS] == [4, 1, 1, 1]


def test_nothing_counted_is_nan_without_a_warning():
    empty = np.zeros((2, 3, 3), int)
    for metric in (metrics.miou_per_image, metrics.mpa, metrics.miou_dataset, metrics.binary_iou):
        assert np.isnan(metric(empty))


def test_summary_multiclass():
    figures = metrics.summarize(spec("multiclass", ["void", "fish", "reef"]), AB)
    means = {("miou", ""), ("mpa", ""), ("miou_dataset", ""), ("dice_dataset", "")}
    means |= {("images", ""), ("predicted_one_class", "")}
    per_class = {(m, c) for m in ("iou_dataset", "dice_dataset") for c in ("void", "fish", "reef")}
    assert set(figures) == means | per_class
    assert figures["iou_dataset", "fish"] == pytest.approx(0.4)
    only_b = metrics.summarize(spec("multiclass", ["void", "fish", "reef"]), AB[1:2])
    assert ("iou_dataset", "fish") not in only_b and ("iou_dataset", "void") in only_b


def test_summary_multilabel():
    # One image; I/U: alive 2/5, dead 1 (empty), position 0/3, found in the prediction only.
    image = [[[9, 1], [2, 2]], [[14, 0], [0, 0]], [[11, 3], [0, 0]]]
    figures = metrics.summarize(spec("multilabel", ["alive", "dead", "position"]), np.array([image]))
    assert figures == {
        ("iou", "alive"): pytest.approx(0.4),
        ("iou", "dead"): pytest.approx(1.0),
        ("iou_nonempty", "dead"): pytest.approx(np.nan, nan_ok=True),
        ("iou", "position"): pytest.approx(0.0),
        ("iou_nonempty", "position"): pytest.approx(np.nan, nan_ok=True),
        ("images_empty", "alive"): 0,
        ("images_empty", "dead"): 1,
        ("images_empty", "position"): 1,
        ("predicted_nothing", "alive"): 0,
        ("predicted_nothing", "dead"): 0,
        ("predicted_nothing", "position"): 0,
        ("iou_dataset", "alive"): pytest.approx(0.4),
        ("iou_dataset", "position"): pytest.approx(0.0),
        # 2·2/(4 + 3); the position, in the prediction only, counts in no mean over the channels.
        ("dice_dataset", "alive"): pytest.approx(4 / 7),
        ("dice_dataset", "position"): pytest.approx(0.0),
        ("miou_dataset", ""): pytest.approx(0.4),
        ("dice_dataset", ""): pytest.approx(4 / 7),
        ("miou", ""): pytest.approx(1.4 / 3),
        ("miou_nonempty", ""): pytest.approx(0.4),
        ("miou_ad", ""): pytest.approx(0.7),
        ("images", ""): 1,
        ("images_empty", ""): 0,
        ("predicted_nothing", ""): 0,
        ("predicted_one_class", ""): 0,
    }
    other = metrics.summarize(spec("multilabel", ["a", "b", "c"]), np.array([image]))
    assert ("miou_ad", "") not in other


def test_soft_miou_of_certain_probabilities_is_the_hard_one_over_the_batch():
    truth, prediction = random_labels(1)
    one_hot = jnp.asarray(np.eye(4)[prediction], jnp.float32)
    hard = metrics.miou_dataset(confusions(truth, prediction, 4))
    np.testing.assert_allclose(metrics.soft_miou(one_hot, jnp.asarray(truth)), hard, rtol=1e-6)


def test_soft_scores_by_hand():
    # Two pixels of class 0 with p = .8 and .4; class 1 takes the rest and is not true; a third is void.
    p = jnp.array([[[[0.8, 0.2], [0.4, 0.6], [0.1, 0.9]]]])
    labels = jnp.array([[[0, 0, 255]]], jnp.uint8)
    # Class 0: I = 1.2, U = 1.2 + 2 − 1.2 = 2.
    np.testing.assert_allclose(metrics.soft_miou(p, labels), 0.6, rtol=1e-6)
    assert metrics.soft_sums(p, labels)[2].tolist() == [2, 0]
    # Binary on class 1's map with truth 1, 0: I = .2, U = .8 + 1 − .2 = 1.6; (1.2)/(2.6).
    binary = metrics.soft_iou(p[..., 1:], jnp.array([[[1, 0, 255]]], jnp.uint8))
    np.testing.assert_allclose(binary, 1.2 / 2.6, rtol=1e-6)
    assert float(metrics.soft_miou(p, jnp.full_like(labels, 255))) == 0


def test_hard_miou_prefers_few_true_finds_to_doubt_everywhere():
    # One of ten pixels is class 1. Unsure: p = 0.4 everywhere, soft overlap 0.4/(4 + 1 − 0.4) = 0.087; found,
    # with one pixel too many: 1/2. A net that is sure of the background has 0 either way.
    labels = jnp.zeros((1, 10), jnp.uint8).at[0, 3].set(1)
    of = lambda p: jnp.stack([1 - p, p], -1)[None]  # noqa: E731
    unsure, found, nothing = jnp.full(10, 0.4), jnp.zeros(10).at[3:5].set(0.6), jnp.zeros(10)
    np.testing.assert_allclose(metrics.soft_miou(of(unsure), labels, 1), 0.4 / 4.6, rtol=1e-5)
    values = [float(metrics.hard_miou(of(p), labels, 1)) for p in (unsure, found, nothing)]
    np.testing.assert_allclose(values, [0, 0.5, 0], atol=1e-6)
    assert float(metrics.hard_miou(of(found), jnp.full_like(labels, 255), 1)) == 0


def test_hard_iou_by_hand():
    # p is above one half in the first and the third pixel, and in the void one; exactly one half is not above
    # it. Over the batch I = 1, U = 4: 2/5. From probabilities I = 1.8, U = 2.5 + 3 − 1.8 = 3.7.
    p = jnp.array([[0.9, 0.5, 0.6, 0.4], [0.1, 0.9, 0.0, 0.0]])[..., None]
    labels = jnp.array([[1, 1, 0, 1], [0, 255, 0, 0]], jnp.uint8)
    np.testing.assert_allclose(metrics.hard_iou(p, labels), 2 / 5, rtol=1e-6)
    np.testing.assert_allclose(metrics.soft_iou(p, labels), 2.8 / 4.7, rtol=1e-6)


def slow_iou(truth, prediction, value):
    """Intersection, union and true pixels of one value in one image, pixel by pixel; void is skipped."""
    both = either = true = 0
    for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if t != 255:
            both += t == value and p == value
            either += t == value or p == value
            true += t == value
    return both, either, true


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("seed", range(3))
def test_multiclass_slow_twin(seed, first):
    truth, prediction = random_labels(seed, n=6, k=5)
    # Some images lack a class, one is of one class, and one is void throughout.
    truth[1][truth[1] == 3], truth[2][truth[2] != 255], truth[3] = 4, 1, 255
    mious, accuracies = [], []
    for t, p in zip(truth, prediction, strict=True):
        parts = [slow_iou(t, p, value) for value in range(first, 5)]
        present = [both / either for both, either, true in parts if true]
        mious += [sum(present) / len(present)] if present else []
        known = [(a, b) for a, b in zip(t.ravel(), p.ravel(), strict=True) if a != 255]
        accuracies += [sum(a == b for a, b in known) / len(known)] if known else []
    assert len(mious) == 5
    matrices = confusions(truth, prediction, 5)
    assert metrics.miou_per_image(matrices, first) == pytest.approx(sum(mious) / 5)
    background = dataclasses.replace(spec("multiclass", "abcde"), background=bool(first))
    scores = metrics.score_images(background, matrices)
    assert scores.mean.iou[[0, 1, 2, 4, 5]] == pytest.approx(mious) and np.isnan(scores.mean.iou[3])
    # The second image lacks class 3.
    missing = np.isnan(scores.classes.iou[1])
    assert missing.nonzero()[0].tolist() == [3 - first]
    assert scores.mean.iou[1] == pytest.approx(np.nanmean(scores.classes.iou[1]))
    assert metrics.object_classes(background) == tuple("abcde")[first:]
    assert metrics.mpa(matrices) == pytest.approx(sum(accuracies) / len(accuracies))


@pytest.mark.parametrize("seed", range(3))
def test_binary_slow_twin(seed):
    truth, prediction = random_labels(seed, n=6, k=2)
    # Nothing there; nothing there or found.
    truth[1][truth[1] == 1], truth[2][truth[2] == 1], prediction[2] = 0, 0, 0
    ious, dices = [], []
    for t, p in zip(truth, prediction, strict=True):
        both, either, _ = slow_iou(t, p, 1)
        ious.append(both / either if either else 1)
        # |A| + |B| is the union and the intersection.
        dices.append(2 * both / (either + both) if either else 1)
    assert ious[2] == 1 and ious[1] == 0
    matrices = confusions(truth, prediction, 2)
    assert metrics.binary_iou(matrices) == pytest.approx(sum(ious) / 6)
    assert metrics.binary_dice(matrices) == pytest.approx(sum(dices) / 6)
    scores = metrics.score_images(spec("binary", ["a"]), np.concatenate([matrices, 0 * matrices[:1]]))
    assert scores.mean.iou[:6] == pytest.approx(ious) and scores.mean.dice[:6] == pytest.approx(dices)
    assert np.isnan(scores.mean).all(0).tolist() == [False] * 6 + [True]


def test_multilabel_slow_twin():
    draw = np.random.default_rng(0)
    truth, prediction = draw.integers(0, 2, (2, 4, 5, 6, 3)).astype(np.uint8)
    truth[draw.random(truth.shape) < 0.1] = 255
    ious = [
        [
            both / either if either else 1
            for both, either, _ in (slow_iou(t[..., c], p[..., c], 1) for c in range(3))
        ]
        for t, p in zip(truth, prediction, strict=True)
    ]
    alive, dead, position = (sum(column) / 4 for column in zip(*ious, strict=True))
    one = lambda t, p: metrics.channel_confusion(truth=t, prediction=p)  # noqa: E731
    cells, matrices = spec("multilabel", ["alive", "dead", "position"]), jax.vmap(one)(truth, prediction)
    found = metrics.summarize(cells, np.asarray(matrices))
    assert metrics.score_images(cells, matrices).mean.iou == pytest.approx(np.mean(ious, 1))
    # Channels that are empty on both sides count only where all are.
    none, one_found = np.array([[[9, 0], [0, 0]]] * 3), np.array([[[5, 2], [1, 1]], *[[[9, 0], [0, 0]]] * 2])
    means = metrics.score_images(cells, np.stack([none, one_found])).mean
    assert means.iou.tolist() == [1, 0.25] and means.dice.tolist() == [1, 0.4]
    assert [found["iou", name] for name in ("alive", "dead", "position")] == pytest.approx(
        [alive, dead, position]
    )
    assert found["miou", ""] == pytest.approx((alive + dead + position) / 3)
    assert found["miou_ad", ""] == pytest.approx((alive + dead) / 2)
