"""Figures of single images, and pictures of the worst, from a net's labels."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from imjax.data.pack import PackedDataset, Split
from imjax.data.spec import VOID, DatasetSpec
from imjax.evaluation.per_image import CONFUSED, EXTRA, MISSED, TABLE, WORST, WORST_ROWS
from imjax.pipeline import per_image, worst_images

PALETTE = ((70, 70, 70), (0, 255, 0), (0, 0, 255))
BINARY = DatasetSpec("toy", "Toy", "binary", ("cell",), PALETTE[:1])
CLASSES = DatasetSpec("toy", "Toy", "multiclass", ("ground", "a", "b"), PALETTE, background=True)
BLACK = (0, 0, 0)


@pytest.fixture
def data():
    """Five test images, of which ever more rows are class 1, one void throughout, and one for val."""
    truth = np.zeros((5, 8, 8), np.uint8)
    for i in range(4):
        truth[i, : i + 1] = 1
    truth[3, 7], truth[4] = 2, VOID
    images = np.full((5, 8, 8, 1), 200, np.uint8)
    files = tuple(f"images/{name}.png" for name in "abcde")
    test = Split(images, truth, tuple("abcde"), tuple("abcde"), files=files)
    return PackedDataset(CLASSES, {}, {"test": test, "val": Split(images[:1], truth[:1], ("v",), ("v",))})


def read_rows(folder):
    with (folder / TABLE).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_image_the_worst_first(data, tmp_path):
    found = np.zeros((5, 8, 8), np.uint8)
    found[:, :2] = 1
    per_image.write_stage(data, {"test": found, "val": found[:1]}, tmp_path)
    rows = read_rows(tmp_path)
    assert [(row["image"], row["split"], row["iou"], row["iou_a"], row["iou_b"]) for row in rows] == [
        # Class b is missed.
        ("images/d.png", "test", "0.25", "0.5", "0.0"),
        ("images/a.png", "test", "0.5", "0.5", ""),
        ("images/c.png", "test", "0.666667", "0.666667", ""),
        ("images/b.png", "test", "1.0", "1.0", ""),
        ("images/e.png", "test", "", "", ""),
        ("v", "val", "0.5", "0.5", ""),
    ]
    assert [row["image"][7] for row in json.loads((tmp_path / WORST_ROWS).read_text())] == ["d", "a", "c"]
    with np.load(tmp_path / WORST) as file:
        shapes = {file[title].shape for title in file.files}
        assert len(file.files) == 3 and shapes == {(3, 8, 8, 3)}
        np.testing.assert_array_equal(
            file["error map"][0, :, 0], [BLACK, BLACK, MISSED, MISSED, BLACK, BLACK, BLACK, MISSED]
        )


def test_nothing_of_nets_that_learned_from_all_images(data, tmp_path):
    data.manifest["data"] = {"folds": 3, "fold": 0}
    per_image.write_stage(data, {}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_errors_by_their_colors():
    truth = np.array([[[0, 1, 1, 1, VOID]]], np.uint8)
    found = np.array([[[1, 1, 0, 2, 1]]], np.uint8)
    errors = worst_images.draw_errors(CLASSES, truth, found)[0, 0]
    assert [tuple(pixel) for pixel in errors] == [EXTRA, BLACK, MISSED, CONFUSED, BLACK]
    # Of several labels each has void pixels of its own.
    labels = DatasetSpec("toy", "Toy", "multilabel", ("a", "b"), PALETTE[:2])
    truth, found = np.array([[[[VOID, 1], [0, 0]]]], np.uint8), np.array([[[[1, 1], [0, 1]]]], np.uint8)
    assert [tuple(pixel) for pixel in worst_images.draw_errors(labels, truth, found)[0, 0]] == [BLACK, EXTRA]


def test_an_outline_is_visible_on_any_image_and_not_at_the_rim():
    gray = np.full((1, 5, 7, 3), 100, np.uint8)
    labels = np.zeros((1, 5, 7), np.uint8)
    labels[0, :, :4] = 1
    row = worst_images.draw_outlines(BINARY, gray, labels)[0, 2]
    plain = (100, 100, 100)
    assert [tuple(pixel) for pixel in row] == [plain, plain, plain, PALETTE[0], (255, 255, 255), plain, plain]
    filled = worst_images.fill_objects(BINARY, gray, labels)[0, 2]
    assert tuple(filled[0]) == (85, 85, 85) and tuple(filled[6]) == plain
