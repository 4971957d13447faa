"""Metrics of the published cells and lesions, as a table of hand values (methods.md 1.10)."""

import csv
from importlib import resources
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from imjax.data.readers import registry
from imjax.evaluation import metrics
from imjax.methods.generational import evalnet
from imjax.ops import pair_scores

# Truth, prediction, IoU as published, IoU on our own sets, EvalNet's target there, which is smoothed.
BINARY = [
    ("both empty", [0, 0, 0, 0], [0, 0, 0, 0], 0.0, 1.0, 1.0),
    ("perfect", [1, 0, 0, 0], [1, 0, 0, 0], 1.0, 1.0, 1.0),
    ("nothing found", [1, 1, 0, 0], [0, 0, 0, 0], 0.0, 0.0, 1 / 3),
    ("found without truth", [0, 0, 0, 0], [1, 0, 0, 0], 0.0, 0.0, 1 / 2),
    ("one of three", [1, 1, 0, 0], [1, 0, 1, 0], 1 / 3, 1 / 3, 2 / 4),
]


@pytest.mark.parametrize(("name", "truth", "prediction", "published", "own", "target"), BINARY)
def test_binary_iou(name, truth, prediction, published, own, target):
    truth, prediction = (jnp.array([x], jnp.uint8) for x in (truth, prediction))
    matrix = np.array([metrics.confusion_matrix(truth=truth, prediction=prediction, classes=2)])
    found = [metrics.binary_iou(matrix, empty) for empty in (0, 1)]
    assert found == pytest.approx([published, own], abs=1e-6)
    targets = [
        float(pair_scores.binary_iou(truth=truth, prediction=prediction, empty=empty)) for empty in (0, 1)
    ]
    assert targets == pytest.approx([published, target], abs=1e-6)


@pytest.mark.parametrize(
    ("dataset", "rule"),
    [("hela", 0), ("isic2018", 0), ("dsb2018", 1), ("folder", 1), ("synthetic", 1)],
)
def test_rule_of_each_dataset(dataset, rule):
    spec = registry.spec(dataset)
    assert spec.empty_iou == rule
    chosen = [spec.with_empty_iou(key).empty_iou for key in ("dataset", "zero", "one")]
    assert chosen == [rule, 0, 1]


ONE_ALIVE_CELL = np.zeros((1, 8, 8, 3), np.uint8)
ONE_ALIVE_CELL[0, 2:6, 2:6, [0, 2]] = 1


@pytest.mark.parametrize(("rule", "expected"), [("dataset", 0.5), ("one", 1.0)])
def test_perfect_prediction_of_one_alive_cell_and_no_dead_one(rule, expected):
    spec = registry.spec("hela").with_empty_iou(rule)
    label = jnp.asarray(ONE_ALIVE_CELL[0])
    matrices = np.array([metrics.channel_confusion(truth=label, prediction=label)])
    figures = metrics.summarize(spec, matrices)
    assert figures["miou_ad", ""] == pytest.approx(expected, abs=1e-6)


def test_evalnet_target_of_an_empty_channel_is_0():
    label = jnp.asarray(ONE_ALIVE_CELL[0])
    image = jnp.zeros((8, 8, 1), jnp.uint8)
    example = evalnet.candidate_example(image, label, label, spec=registry.spec("hela"))
    np.testing.assert_allclose(example.iou, [1, 0, 1], atol=1e-6)


# Image by image: truth, prediction, mIoU and pixel accuracy (multiclass), values that agreed from the start.
MULTICLASS = [
    ("perfect", [1, 1, 2, 2], [1, 1, 2, 2], 1.0, 1.0),
    # Class 1: 1/2; class 2: 2/3.
    ("one pixel wrong", [1, 1, 2, 2], [1, 2, 2, 2], (1 / 2 + 2 / 3) / 2, 0.75),
    # Class 3 is in no truth and counts in no mean; class 1: 1/2, class 2: 1.
    ("a class without truth", [1, 1, 2, 2], [1, 3, 2, 2], (1 / 2 + 1) / 2, 0.75),
]


@pytest.mark.parametrize(("name", "truth", "prediction", "miou", "mpa"), MULTICLASS)
def test_multiclass_per_image(name, truth, prediction, miou, mpa):
    truth, prediction = (jnp.array([x], jnp.uint8) for x in (truth, prediction))
    matrix = np.array([metrics.confusion_matrix(truth=truth, prediction=prediction, classes=4)])
    assert metrics.miou_per_image(matrix) == pytest.approx(miou)
    assert metrics.mpa(matrix) == pytest.approx(mpa)


def test_the_published_dice_has_a_smoothing_term_of_1_and_a_name_of_its_own():
    # I = 1, |A| + |B| = 2 + 2: (2 + 1) / (4 + 1), and without the term 2/4.
    truth, prediction = jnp.array([[1, 1, 0, 0]], jnp.uint8), jnp.array([[1, 0, 1, 0]], jnp.uint8)
    matrix = np.array([metrics.confusion_matrix(truth=truth, prediction=prediction, classes=2)])
    assert metrics.smoothed_dice(matrix) == pytest.approx(3 / 5)
    figures = metrics.summarize(registry.spec("isic2018"), matrix)
    assert figures["dice_smooth", ""] == pytest.approx(3 / 5) and figures["dice", ""] == pytest.approx(1 / 2)
    assert ("dice_smooth", "") not in metrics.summarize(registry.spec("dsb2018"), matrix)


def confusions(*pairs):
    """Confusion matrices of one-row images, given as truth and prediction."""
    return np.array(
        [
            metrics.confusion_matrix(
                truth=jnp.array([t], jnp.uint8), prediction=jnp.array([p], jnp.uint8), classes=2
            )
            for t, p in pairs
        ]
    )


def test_the_released_defect_metric_pools_its_images():
    # Foreground: image 1 has I = 1, U = 2, image 2 has I = 3, U = 4. Pooled 4/6, per image (1/2 + 3/4)/2.
    matrices = confusions(([1, 1, 0, 0, 0], [1, 0, 0, 0, 0]), ([1, 1, 1, 1, 0], [1, 1, 1, 0, 0]))
    assert metrics.miou_dataset(matrices, 1) == pytest.approx(4 / 6)
    assert metrics.miou_per_image(matrices, 1) == pytest.approx(0.625)


def test_published_defect_values_stand_beside_the_pooled_metric():
    text = resources.files("imjax.report").joinpath("published.csv").read_text(encoding="utf-8")
    rows = [row for row in csv.DictReader(text.splitlines()) if row["dataset"] in ("neu_seg", "dagm", "mt")]
    assert len(rows) == 16 and {row["metric"] for row in rows} == {"miou_dataset"}
    by_share = {(row["dataset"], row["method"], row["labels"]): float(row["value"]) for row in rows}
    shares = ("0.01", "0.05", "0.1", "0.3", "0.5")
    # Methods.md 2.1, as printed: in per cent.
    for method, printed in (
        ("supervised", (64.0, 70.7, 72.9, 76.1, 77.5)),
        ("simeps", (70.4, 73.9, 75.95, 78.9, 79.9)),
    ):
        found = [100 * by_share["neu_seg", method, share] for share in shares]
        assert found == pytest.approx(printed)
    others = {("neu_seg", "uaps", "0.1"): 75.77, ("dagm", "supervised", "0.1"): 67.17,
              ("dagm", "simeps", "0.1"): 73.47, ("dagm", "uaps", "0.1"): 74.57,
              ("mt", "supervised", "0.4"): 49.46, ("mt", "simeps", "0.4"): 64.41}  # fmt: skip
    assert {key: 100 * by_share[key] for key in others} == pytest.approx(others)


# Rows and sum of the values of the Inconsistency Masks paper, by dataset (methods.md 1.11).
READ_OFF_THE_FIGURE = {
    "isic2018": (46, 32.917),
    "hela": (43, 27.96),
    "suim": (43, 17.886),
    "cityscapes": (44, 16.905),
}
FIGURE_METRICS = {"isic2018": "iou", "hela": "miou_ad", "suim": "miou", "cityscapes": "miou"}
METHOD_ROWS = {
    "FDT": "fdt", "LDT": "ldt", "ALDT": "aldt", "Model Ensemble": "model_ensemble",
    "Input Ensemble": "input_ensemble", "Consistency Loss": "consistency", "Noisy Student": "noisy_student",
    "EvalNet": "evalnet", "IM": "im", "IM+": "im_p", "AIM+": "aim_p", "IM++": "im_pp", "AIM++": "aim_pp",
}  # fmt: skip


def read_published():
    text = resources.files("imjax.report").joinpath("published.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@pytest.mark.parametrize("dataset", READ_OFF_THE_FIGURE)
def test_published_values_of_the_figure(dataset):
    rows = [row for row in read_published() if row["dataset"] == dataset]
    assert {row["metric"] for row in rows} == {FIGURE_METRICS[dataset]}
    # FDT has all labels, every other method a tenth of them.
    assert {row["method"] for row in rows if not row["labels"]} == {"fdt"}
    found = len(rows), sum(float(row["value"]) for row in rows)
    assert found == pytest.approx(READ_OFF_THE_FIGURE[dataset], abs=1e-6)


def test_the_table_of_the_last_generation_is_that_of_the_package():
    page = Path(__file__).parents[2] / "docs" / "how-to" / "reproduce.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    start = lines.index(next(line for line in lines if line.startswith("| | ISIC 2018, IoU |")))
    shown = {}
    for line in lines[start + 2 : start + 2 + len(METHOD_ROWS)]:
        title, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for dataset, cell in zip(("isic2018", "suim", "hela", "cityscapes"), cells, strict=True):
            if cell != "–":
                shown[dataset, METHOD_ROWS[title]] = float(cell)
    last = {}
    for row in read_published():
        if row["dataset"] in FIGURE_METRICS:
            last[row["dataset"], row["method"]] = float(row["value"])
    assert shown == last
