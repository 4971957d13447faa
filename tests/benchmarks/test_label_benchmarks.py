"""Benchmarks of the label loop: what they measure and how they choose, without training."""

import csv
import json

import cv2
import numpy as np
import pytest

from benchmarks import label_loop, label_order
from imjax.data.folder.reader import Folder
from imjax.data.readers import dsb2018


def test_true_iou_by_hand():
    truth = np.array([[1, 1, 0, 255]], np.uint8)
    assert label_order.true_iou(np.array([[1, 0, 1, 1]]), truth) == pytest.approx(1 / 3)
    assert label_order.true_iou(np.zeros((1, 2)), np.zeros((1, 2))) == 1


def test_runs_of_the_study_are_valid(tmp_path):
    runs = [label_order.make_run(one, 1, tmp_path, tmp_path) for one in label_order.SETS]
    assert [run.config.data.dataset for run in runs] == ["isic2017", "dsb2018", "folder"]
    train = runs[0].config.train
    assert train.epochs * train.steps_per_epoch == label_order.STEPS and runs[0].config.generations == 0


def test_the_best_score_comes_first():
    rho = dict.fromkeys(label_order.TITLES, 0.1) | {"agreement": 0.5}
    lines = label_order.render([("A", {"images": 3, "iou": 0.5, "rho": rho})] * 2)
    assert lines[2] == "| agreement: F ÷ (F + D) | 0.50 | 0.50 |"
    assert "2 runs" in lines[-1]


def test_a_round_of_the_loop_without_training(tmp_path, monkeypatch):
    for name, value in (("POOL", 12), ("MASKED", 4), ("VAL", 1), ("TEST", 3)):
        monkeypatch.setattr(label_loop, name, value)
    draw = np.random.default_rng(0)
    for i in range(16):
        for kind, pixels in (("images", draw.integers(0, 256, (8, 8, 3))), ("masks", 255 * np.eye(8))):
            path = tmp_path / "raw" / dsb2018.FOLDER / f"n{i}" / kind / f"n{i}.png"
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), pixels.astype(np.uint8))
    samples = dsb2018.Dsb2018().scan(tmp_path / "raw")["train_val_test"]

    def pretend(folder, workdir, seed, earlier=None):
        workdir.mkdir(parents=True)
        masks = len(list((folder / "masks").iterdir()))
        with (workdir / "results.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["method", "split", "metric", "rank", "class", "value"])
            writer.writerow(["ldt", "test", "dice", 1, "", masks / 100])
            writer.writerow(["ldt_ensemble", "test", "dice", 1, "", 1])

    monkeypatch.setattr(label_loop, "train", pretend)
    found = label_loop.run_arm(tmp_path / "out", "random", 0, samples, 1)
    # 4 masks and 3 of test, and then 5 more.
    assert [one["dice"] for one in found] == [0.07, 0.12] and [one["masks"] for one in found] == [4, 9]
    parts = Folder().scan(tmp_path / "out" / "random" / "folder")
    assert {part: len(parts[part]) for part in ("labeled", "val", "test", "unlabeled")} == {
        "labeled": 8, "val": 1, "test": 3, "unlabeled": 3,
    }  # fmt: skip
    # Again: nothing is chosen or trained anew.
    chosen = json.loads((tmp_path / "out" / "random" / "chosen_1.json").read_text())
    assert label_loop.run_arm(tmp_path / "out", "random", 0, samples, 1) == found and len(set(chosen)) == 5
    both = [one | {"arm": arm} for one in found for arm in label_loop.ARMS]
    assert label_loop.render(both)[-1] == "suggested ahead after each round: [0] of 1 seeds"
