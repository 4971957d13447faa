"""Figures of volumes and of cells, worked by hand."""

import dataclasses

import numpy as np
import pytest

from imjax.data.readers import dsb2018, hela
from imjax.data.spec import VOID, DatasetSpec
from imjax.training import evaluate


def spec(kind, classes, **facts):
    return DatasetSpec("toy", "Toy", kind, classes, ((0, 0, 0),) * len(classes), volumes=True, **facts)


HEART = spec("multiclass", ("ground", "ring", "core"), background=True)
NAMES = ("p#2", "p#10", "q#0", "p#1")
# Slices of 1×4. In its order volume p is the last slice, the first, the second.
TRUTH = np.array([[0, 0, 0, 2], [0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]], np.uint8)[:, None]
FOUND = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], np.uint8)[:, None]
DIAGONAL = 13**0.5
"""Of a volume of 3×1×4."""


def test_volumes_by_hand():
    # Volume p: one voxel of ring in the first slice, found in the third: 2 apart. The core is not found.
    # Volume q, one slice: ring at columns 0, 1, found at 0: Dice 2/3, IoU 1/2. The distances are 0 and 1 from
    # the truth, 0 to it: mean 1/3, and 95th percentile at place .95·2 = 1.9 from 0 of 0 0 1: 0.9. It has no
    # core, and neither has the prediction: q counts for the ring only.
    found = evaluate.figures(HEART, truth=TRUTH, prediction=FOUND, names=NAMES)
    ring = {"dice": 1 / 3, "iou": 1 / 4, "hd95": (2 + 0.9) / 2, "assd": (2 + 1 / 3) / 2}
    core = {"dice": 0, "iou": 0, "hd95": DIAGONAL, "assd": DIAGONAL}
    for metric in ring:
        assert found[metric, "ring"] == pytest.approx(ring[metric])
        assert found[metric, "core"] == pytest.approx(core[metric])
        assert found[metric, ""] == pytest.approx((ring[metric] + core[metric]) / 2)
        assert (metric, "ground") not in found
    # Beside them those of all pixels: the ring has 3 true, 2 found, 1 in common; the core is missed.
    assert found["miou_dataset", ""] == pytest.approx((1 / 4 + 0) / 2)
    assert found["dice_dataset", "ring"] == pytest.approx(2 / 5)


def test_the_order_of_the_slices_is_that_of_their_numbers():
    turned = slice(None, None, -1)
    figures = [
        evaluate.of_volumes(HEART, truth=TRUTH[order], prediction=FOUND[order], names=names)
        for order, names in (
            (slice(None), NAMES),
            (turned, NAMES[turned]),
            (slice(None), ("p#02", "p#10", "q#00", "p#01")),
        )
    ]
    assert figures[0] == figures[1] == figures[2]


def test_a_perfect_prediction_and_void():
    # Where the truth is void, nothing is looked at: neither the core nor a second ring.
    truth, found = TRUTH.copy(), TRUTH.copy()
    truth[0, 0, 3] = truth[1, 0, 3] = VOID
    found[1, 0, 3] = 1
    figures = evaluate.of_volumes(HEART, truth=truth, prediction=found, names=NAMES)
    for name in ("ring", ""):
        got = [figures[metric, name] for metric in ("dice", "iou", "hd95", "assd")]
        assert got == [1, 1, 0, 0]
    assert ("dice", "core") not in figures
    nothing = evaluate.of_volumes(HEART, truth=0 * TRUTH, prediction=0 * TRUTH, names=NAMES)
    assert set(nothing) == {(metric, "") for metric in ("dice", "iou", "hd95", "assd")}
    assert np.isnan(list(nothing.values())).all()


def test_binary_and_multilabel():
    # One volume of two slices of 1×4: found 1 of the 2 true voxels.
    truth, found = np.zeros((2, 2, 1, 4), np.uint8)
    truth[:, 0, 1], found[0, 0, 1] = 1, 1
    binary = evaluate.figures(
        spec("binary", ("atrium",)), truth=truth, prediction=found, names=("a#0", "a#1")
    )
    assert binary["dice", "atrium"] == binary["dice", ""] == pytest.approx(2 / 3)
    assert binary["hd95", ""] == pytest.approx(0.9)
    # The second channel the other way round: one false voxel of two.
    pair = spec("multilabel", ("one", "two"))
    both = np.stack([truth, found], -1), np.stack([found, truth], -1)
    several = evaluate.figures(pair, truth=both[0], prediction=both[1], names=("a#0", "a#1"))
    for name in ("one", "two", ""):
        assert several["dice", name] == pytest.approx(2 / 3) and several["iou", name] == pytest.approx(1 / 2)


def test_without_names_and_with_too_few():
    found = evaluate.figures(HEART, truth=TRUTH, prediction=FOUND)
    # Per image: 0 for the first (the core is missed) and the last, 2/3 for the third; the second has none.
    assert found["dice", ""] == pytest.approx((0 + 2 / 3 + 0) / 3)
    assert not {metric for metric, _ in found} & {"hd95", "assd"}
    with pytest.raises(ValueError, match="3 names for 4 slices, expected one each"):
        evaluate.figures(HEART, truth=TRUTH, prediction=FOUND, names=NAMES[:3])


WHOLE = DatasetSpec(
    "toy", "Toy", "multiclass", ("ground", "atrium"), ((0, 0, 0),) * 2, dims=3, background=True
)


def test_images_that_are_volumes_by_hand():
    truth, found = np.zeros((2, 2, 2, 3, 4), np.uint8)
    # Volume 0: 2 of 2 true voxels found and a third, beside them: Dice 4/5, IoU 2/3. The distances are 0 0
    # from the truth, 0 0 1 to it: mean 1/5, 95th percentile at place .95·4 = 3.8 from 0 of 0 0 0 0 1: 0.8.
    truth[0, 0, 0, :2] = found[0, 0, 0, :3] = 1
    # Volume 1: one voxel, found a slice below: 1 apart. A false voxel where the truth is void counts nowhere.
    truth[1, 0, 2, 3] = found[1, 1, 2, 3] = 1
    truth[1, 0, 0, 0], found[1, 0, 0, 0] = VOID, 1
    wanted = {"dice": 4 / 5 / 2, "iou": 2 / 3 / 2, "hd95": (0.8 + 1) / 2, "assd": (1 / 5 + 1) / 2}
    for names in ((), ("a", "b")):
        figures = evaluate.figures(WHOLE, truth=truth, prediction=found, names=names)
        for metric, value in wanted.items():
            assert figures[metric, "atrium"] == figures[metric, ""] == pytest.approx(value)
    # Of all voxels: 3 true, 4 found without the void one, 2 in common; 23 + 24 counted of ground and atrium.
    assert figures["iou_dataset", "atrium"] == pytest.approx(2 / 5)
    assert figures["dice_dataset", ""] == pytest.approx(4 / 7)
    assert figures["mpa", ""] == pytest.approx((23 / 24 + 21 / 23) / 2)


def test_volumes_by_themselves_are_as_their_slices_together():
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 2, (2, 2, 3, 4, 4), np.uint8)
    slices = evaluate.of_volumes(
        spec("multiclass", ("ground", "atrium"), background=True),
        truth=truth.reshape(-1, 4, 4), prediction=found.reshape(-1, 4, 4),
        names=[f"{v}#{z}" for v in "ab" for z in range(3)],
    )  # fmt: skip
    assert evaluate.of_volumes(WHOLE, truth=truth, prediction=found, names=()) == slices


def test_multilabel_volumes():
    pair = DatasetSpec("toy", "Toy", "multilabel", ("one", "two"), ((0, 0, 0),) * 2, dims=3)
    truth = np.zeros((1, 2, 2, 2, 2), np.uint8)
    truth[0, 0, 0, :, 0] = truth[0, 1, 1, 1, 1] = 1
    figures = evaluate.figures(pair, truth=truth, prediction=truth)
    assert figures["dice", "one"] == figures["dice", "two"] == figures["hd95", ""] + 1 == 1


def test_cells_by_hand():
    # One cell, alive, in the first image, its mark at (12, 12) a disc of radius 8, as every sole one; none in
    # the second. The prediction has 5×5 pixels for the mark, with the same middle, calls the cell dead, and
    # sees one more, alive, in the second image.
    truth, found = np.zeros((2, 2, 24, 24, 3), np.uint8)
    rows, columns = np.indices((24, 24))
    disc = (rows - 12) ** 2 + (columns - 12) ** 2 <= 64
    truth[0, ..., 2] = disc
    truth[0, 11:14, 11:14, 0] = found[0, 11:14, 11:14, 1] = found[0, 10:15, 10:15, 2] = 1
    found[1, 11:14, 11:14, 0] = found[1, 10:15, 10:15, 2] = 1
    figures = evaluate.figures(hela.SPEC, truth=truth, prediction=found)
    # Alive 1 → 0 and dead 0 → 1; then alive 0 → 1.
    assert figures["mcce", ""] == pytest.approx((2 + 1) / 2)
    # Drawn anew, a sole mark is a disc of radius 3, 29 of the truth's pixels, and in the second image wrong.
    assert figures["iou", "position"] == pytest.approx((29 / disc.sum() + 0) / 2)
    # Alive: nothing of 9 pixels in either image. Dead: the same in the first; rightly nothing in the second
    # counts 0, as published.
    names = [("iou", "alive"), ("iou", "dead"), ("miou_ad", "")]
    assert [figures[name] for name in names] == pytest.approx([0, 0, 0])
    one = evaluate.figures(hela.SPEC.with_empty_iou("one"), truth=truth, prediction=found)
    assert [one[name] for name in names] == pytest.approx([0, 1 / 2, 1 / 4])
    assert [one["images_empty", name] for name in hela.SPEC.classes] == [1, 2, 1]
    # Where no cells are counted, marks are as predicted: 25 of the disc's pixels, then 25 wrong ones.
    plain = evaluate.figures(
        dataclasses.replace(hela.SPEC, counts_cells=False), truth=truth, prediction=found
    )
    assert ("mcce", "") not in plain
    assert plain["iou", "position"] == pytest.approx((25 / disc.sum() + 0) / 2)


def test_objects_where_the_truth_numbers_them():
    spec = dsb2018.SPEC
    truth = np.zeros((2, 12, 24), np.uint8)
    instances = np.zeros(truth.shape, np.uint16)
    instances[0, 2:8, 2:8], instances[0, 2:8, 12:18] = 5, 9
    instances[1, 1:4, 1:4] = 1
    truth[instances > 0] = 1
    found = truth.copy()
    # One is missed; on the second image one is made up, and what is made up in void is none.
    found[0, :, 10:] = 0
    found[1, 8:11, 8:11] = 1
    truth[1, :, 18:], found[1, :, 18:] = VOID, 1
    figures = evaluate.figures(spec, truth=truth, prediction=found, instances=instances)
    assert figures["object_f1", ""] == pytest.approx(2 / 3) and figures["count_error", ""] == 1.0
    without = evaluate.figures(spec, truth=truth, prediction=found)
    assert {key: figures[key] for key in without} == without
    assert set(figures) - set(without) == {("object_f1", ""), ("count_error", "")}
