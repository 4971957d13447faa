"""Metrics of a labeling, and when the log warns of it."""

import dataclasses
import logging

import numpy as np
import pytest

from imjax.data.pack import PackedDataset, Split
from imjax.data.spec import VOID, DatasetSpec
from imjax.evaluation.image_counts import COUNTS
from imjax.ops import inconsistency
from imjax.pipeline import image_panels, label_stage
from imjax.pipeline.artifacts import ArtifactStore
from imjax.pipeline.plan import make_plan
from imjax.pipeline.stages import LabelStage
from imjax.training import evaluate
from imjax.training.progress import StageLogger

BINARY = DatasetSpec("b", "b", "binary", ("x",), ((1, 1, 1),))
MANY = DatasetSpec("m", "m", "multiclass", ("a", "b"), ((0, 0, 0),) * 2)
LABELS = DatasetSpec("l", "l", "multilabel", ("p", "q"), ((0, 0, 0),) * 2)


def pixels(*counts, value=(0, 1, 255)):
    """One image of a row, with so many pixels of each value."""
    return np.repeat(np.array(value, np.uint8), counts)[None, None]


@pytest.mark.parametrize(
    ("spec", "labels", "labeled", "wanted"),
    [
        (BINARY, pixels(3, 1, 0), pixels(3, 1, 0), ""),
        (
            BINARY,
            pixels(4, 0, 0),
            pixels(3, 1, 0),
            "x has 0.00% of their pixels, 25.00% of the labeled set's",
        ),
        # Where it is not void (inconsistent) there is foreground only.
        (BINARY, pixels(0, 2, 2), pixels(3, 1, 0), "x has 100.00% of their pixels, 25.00% "),
        # A twentieth of 20 % foreground is 1 %; void pixels do not count.
        (BINARY, pixels(197, 3, 50), pixels(80, 20, 0), ""),
        (BINARY, pixels(199, 1, 0), pixels(80, 20, 0), "x has 0.50% of their pixels, 20.00% "),
        # The same of the background: of 80 % a twentieth is 4 %.
        (BINARY, pixels(5, 95, 0), pixels(80, 20, 0), ""),
        (BINARY, pixels(3, 97, 0), pixels(80, 20, 0), "x has 97.00% of their pixels, 20.00% "),
        (MANY, pixels(0, 3, 1), pixels(2, 2, 0), "b has 100.0% of their pixels"),
        (MANY, pixels(2, 98, 3), pixels(2, 2, 0), ""),
        (MANY, pixels(1, 99, 3), pixels(2, 2, 0), "b has 99.0% of their pixels"),
        # A set whose things are that small is as it should be.
        (MANY, pixels(99, 1, 0), pixels(199, 1, 0), ""),
        (MANY, pixels(99, 1, 0), pixels(49, 1, 7), "a has 99.0% of their pixels"),
        # Nothing was kept, or nothing of it is consistent.
        (BINARY, pixels(0, 0, 0), pixels(3, 1, 0), "no pixel has a label"),
        (MANY, pixels(0, 0, 4), pixels(3, 1, 0), "no pixel has a label"),
    ],
)
def test_a_collapse_is_one_class_or_nearly(spec, labels, labeled, wanted):
    reason = label_stage.describe_collapse(spec, labels, labeled)
    assert reason.startswith(wanted) and bool(reason) == bool(wanted)


def test_one_channel_is_enough_to_collapse():
    # A channel of 20 %, one of 50 %.
    labeled = np.stack([pixels(80, 20, 0), pixels(50, 50, 0)], -1)
    assert not label_stage.describe_collapse(LABELS, labeled, labeled)
    for lost in (pixels(100, 0, 0), pixels(98, 2, 0)):
        reason = label_stage.describe_collapse(LABELS, np.stack([labeled[..., 0], lost], -1), labeled)
        assert reason.startswith("q has ") and reason.endswith("50.00% of the labeled set's")
    assert not label_stage.describe_collapse(
        LABELS, np.stack([pixels(98, 2, 0), labeled[..., 1]], -1), labeled
    )


def test_foreground_leaves_void_out():
    # One of the three pixels that count.
    assert label_stage.foreground(np.array([0, 0, 1, 255], np.uint8)) == pytest.approx(1 / 3)
    assert label_stage.foreground(np.array([255], np.uint8)) == 0


@pytest.mark.parametrize(
    ("share", "reason", "message"),
    [
        (0.0, "no pixel has a label", "no pair was kept"),
        (0.5, "sky has 99.5% of their pixels", "have collapsed: sky has 99.5% of their pixels; more labels"),
        (0.5, "", ""),
    ],
)
def test_warnings(share, reason, message, demo_config, caplog):
    stage = next(stage for stage in make_plan(demo_config) if isinstance(stage, LabelStage))
    with caplog.at_level(logging.WARNING, "imjax"):
        label_stage._warn(stage, {"kept_share": share}, reason)
    assert (message in caplog.text) if message else not caplog.text


@pytest.mark.parametrize("spec", [BINARY, MANY, LABELS], ids=lambda s: s.kind)
def test_without_a_truth_there_is_no_accuracy(spec):
    """Labels of images that nobody labeled are void everywhere; figures are then nan, without a warning."""
    shape = (3, 4, 4, 2) if spec.kind == "multilabel" else (3, 4, 4)
    prediction = np.random.default_rng(0).integers(0, 2, shape, dtype=np.uint8)
    found = evaluate.figures(spec, truth=np.full(shape, VOID, np.uint8), prediction=prediction)
    means = {metric: value for (metric, label), value in found.items() if not label}
    # Of void images there is still a number.
    counts = [means.pop(name) for name in COUNTS if name in means]
    assert means and np.isnan(list(means.values())).all() and np.isfinite(counts).all()


def test_panels_of_images_without_a_truth(tmp_path, monkeypatch):
    labels = np.full((2, 4, 4), VOID, np.uint8)
    pair = inconsistency.PseudoLabels(
        np.ones_like(labels), labels == 0, np.zeros(2, np.int32), np.ones(2, bool)
    )
    shown = []
    monkeypatch.setattr(image_panels, "_write", lambda found, *_: shown.append(set(found)))
    for truth in (labels, np.zeros_like(labels)):
        split = Split(np.zeros((2, 4, 4, 3), np.uint8), truth, ("a", "b"), ("a", "b"))
        dataset = PackedDataset(BINARY, {}, {"unlabeled": split})
        image_panels.write_label_panels(dataset, pair, tmp_path, StageLogger.__new__(StageLogger))
    always = {"image", "pseudo-label", "inconsistency mask"}
    assert shown == [always, always | {"truth"}]


def test_predictions_stand_beside_the_pseudo_labels_of_the_same_images(tmp_path, monkeypatch):
    """Image i is all i, and its label is 1 where i is odd: 9 unlabeled images and 6 of val."""
    shown = {}
    monkeypatch.setattr(image_panels, "_write", lambda found, path, *_: shown.update({path.name: found}))
    images = np.tile(np.arange(9, dtype=np.uint8)[:, None, None, None], (1, 4, 4, 3))
    labels, asked = images[..., 0] % 2, []
    splits = {
        name: Split(images[:n], labels[:n], tuple("abcdefghi"[:n]), tuple("abcdefghi"[:n]))
        for name, n in (("unlabeled", 9), ("val", 6))
    }
    dataset = PackedDataset(BINARY, {}, splits)

    def labels_of(images):
        asked.append(images[:, 0, 0, 0].tolist())
        return images[..., 0] % 2

    pair = inconsistency.PseudoLabels(labels, labels == 2, np.zeros(9, np.int32), np.ones(9, bool))
    image_panels.write_label_panels(dataset, pair, tmp_path, StageLogger.__new__(StageLogger))
    image_panels.write_generation_panels(dataset, labels_of, 32, tmp_path, StageLogger.__new__(StageLogger))
    # The first, the last and two between, round again to make up a batch of val.
    assert asked == [[0, 3, 5, 8, 0, 3]]
    (predicted,) = shown["unlabeled.npz"].values()
    np.testing.assert_array_equal(predicted, shown["panels.npz"]["pseudo-label"])


def scored(*masks, threshold=0.5):
    """`select_best_masks` of masks of three images, each scored by its first pixel in tenths."""
    pair, score = label_stage.select_best_masks(
        np.zeros((3, 4, 4, 3), np.uint8),
        [image_of(mask) for mask in masks],
        lambda pairs: (pairs["label"][:, 0, 0] / 10).astype(np.float32),
        threshold,
    )
    assert not pair.inconsistent.any() and not pair.size.any()
    return pair.label[:, 0, 0].tolist(), pair.keep.tolist(), score


def image_of(values):
    """uint8 `[n, 4, 4]`, all of image i of the i-th value."""
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None], (len(values), 4, 4)).copy()


def test_the_best_scored_mask_is_kept_from_the_threshold_on():
    best, keep, score = scored((3, 5, 2), (4, 1, 2))
    # Of image 1 exactly the threshold.
    assert best == [4, 5, 2] and keep == [False, True, False]
    np.testing.assert_allclose(score, [0.4, 0.5, 0.2])
    assert scored((3, 5, 2), threshold=0.501)[1] == [False, False, False]


def test_a_mask_kept_before_wins_or_loses_by_its_score(tmp_path, demo_config):
    stages = make_plan(dataclasses.replace(demo_config, method="evalnet"))
    first, second = (stage for stage in stages if isinstance(stage, LabelStage))
    store = ArtifactStore(tmp_path, stages, [])
    folder = store.folder(first.name)
    folder.mkdir(parents=True)
    np.savez(folder / "labels.npz", label=image_of((9, 6, 3)))
    assert label_stage._previously_kept(first, store) == []
    (kept,) = label_stage._previously_kept(second, store)
    # Image 0: kept before and better than both candidates, so it stays. 1: worse than the second one.
    # 2: worse than the first.
    best, keep, score = scored((6, 2, 8), (5, 7, 1), kept[:, 0, 0])
    assert best == [9, 7, 8] and keep == [True] * 3
    np.testing.assert_allclose(score, [0.9, 0.7, 0.8])


def test_the_log_says_a_labeling_in_words():
    metrics = {"inconsistent_pixels": 9.0, "inconsistent_share": 0.444, "kept_share": 1.0, "copies": 2.5}
    text = label_stage._describe_labeling(metrics | {"score": 0.4485, "pseudo_miou": 0.352, "collapsed": 0.0})
    assert text == (
        "100.0% of the images are kept, with 2.5 copies each; the nets disagree on 44.4% of the pixels; "
        "mean score 0.449; miou with the true masks 0.3520"
    )
    more = {"pseudo_foreground": 0.1, "labeled_foreground": 0.2}
    assert "foreground 10.0% of the pixels, 20.0% in the labeled images" in label_stage._describe_labeling(
        metrics | more
    )
