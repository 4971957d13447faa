"""Predictions on disk, their scores, and two runs side by side."""

import csv
import dataclasses
import json
import os

import numpy as np
import pytest
from app_folders import SIZE, columns, halves, make_folder
from user_errors import raises_user_error

from imjax.app import predictions
from imjax.app.comparison import compare_runs, read_headline
from imjax.app.folder_store import FolderStore
from imjax.app.predictions import ImagePrediction, PredictionFiles
from imjax.data.folder.reader import SPEC
from imjax.errors import ErrorCode


def test_predictions_are_kept_until_their_image_changes(tmp_path):
    store = FolderStore(make_folder(tmp_path / "own", {"a.png": halves(0, 255)}))
    files = PredictionFiles(tmp_path / "run")
    files.workdir.mkdir()
    assert files.read_scores(store) == {}
    inconsistent = np.random.default_rng(0).random(SIZE) < 0.5
    for name, score in (("a", 0.25), ("bare0", 0.75)):
        files.write(name, store.image_path(name), ImagePrediction(columns(0, 1), inconsistent, score))
    with (files.folder / "scores.jsonl").open("a") as file:
        file.write('{"name": "bare1", "sco')
    assert files.read_scores(store) == {"a": 0.25, "bare0": 0.75}
    labels, where = files.read("a")
    assert np.array_equal(labels, columns(0, 1)) and np.array_equal(where, inconsistent)
    os.utime(store.image_path("a"), (1, 1))
    assert files.read_scores(store) == {"bare0": 0.75}
    with raises_user_error(ErrorCode.MISSING, "name"):
        files.read("bare1")


def test_images_without_a_mask_are_predicted_first(tmp_path, monkeypatch):
    raw = make_folder(tmp_path / "own", {"a.png": halves(0, 255)})
    run = tmp_path / "run"
    run.mkdir()
    asked = []

    def predict(workdir, store, names):
        asked.append(list(names))
        for _ in names:
            yield ImagePrediction(halves(0, 1), np.zeros(SIZE, bool), 1.0)

    monkeypatch.setattr(predictions, "predict_images", predict)
    predictions.main(run, raw)
    predictions.main(run, raw)
    assert asked == [["bare0", "bare1", "a"], []]


def test_a_run_of_other_classes_is_refused(tmp_path):
    store = FolderStore(make_folder(tmp_path / "own", {"a.png": halves(0, 255)}))
    predictions._check_classes(tmp_path, SPEC, store)
    with raises_user_error(ErrorCode.CONFLICT, tmp_path):
        predictions._check_classes(tmp_path, dataclasses.replace(SPEC, classes=("cell",)), store)


@pytest.fixture
def runs(tmp_path):
    def make(name, values, tested):
        folder = tmp_path / name
        folder.mkdir()
        spec = {
            "name": "folder_own", "title": "own", "kind": "multiclass", "classes": ["inconsistent", "x", "y"],
            "palette": [[0, 0, 0]] * 3, "reserved": True, "primary_metric": "miou",
        }  # fmt: skip
        record = {"config": {"method": "im", "seed": 0, "data": {}}, "spec": spec, "start": "ldt"}
        record |= {"counts": {"labeled": 4, "test": 5}}
        (folder / "config.json").write_text(json.dumps(record))
        samples = {f"image{n}": {"split": "test", "image": "1", "truth": "2"} for n in tested}
        samples["other"] = {"split": "labeled", "image": name, "truth": name}
        (folder / "samples.json").write_text(json.dumps(samples))
        head = "dataset,method,seed,generation,member,rank,split,metric,class,value".split(",")
        with (folder / "results.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(head)
            for generation, value in enumerate(values):
                for rank, at in ((1, value), (2, 0.0)):
                    row = ["folder_own", "im", 0, generation, rank, rank, "test"]
                    writer.writerow([*row, "miou", "", at])
                    writer.writerow([*row, "iou_dataset", "x", at / 2])
                    writer.writerow([*row, "iou_dataset", "inconsistent", 0.0])
                    writer.writerow([*row, "images", "", 5])
            writer.writerow(["folder_own", "ldt", 0, "", 0, 1, "test", "miou", "", 0.1])
        return folder

    return make


def test_two_runs_side_by_side(runs):
    first, second = runs("a", [0.4, 0.5], range(5)), runs("b", [0.6], range(1, 6))
    found = compare_runs(first, second)
    assert [(row.title, row.first, row.second, row.primary) for row in found.rows] == [
        ("mIoU", 0.5, 0.6, True), ("IoU, dataset · x", 0.25, 0.3, False),
    ]  # fmt: skip
    assert (found.first, found.second) == ("IM, gen. 1", "IM, gen. 0")
    assert len(found.notes) == 2 and "not the same" in found.notes[0] and "5 test images" in found.notes[1]
    # Other labeled images do not matter.
    assert len(compare_runs(first, runs("c", [0.6], range(5))).notes) == 1
    assert read_headline(second) == ("mIoU", 0.6)
