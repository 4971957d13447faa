"""A cross-validation from masks to report; stopped between folds, it goes on."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import imjax
from imjax.config import get_config
from imjax.data.pack import Split
from imjax.data.spec import DatasetSpec
from imjax.data.synthetic import writers
from imjax.errors import Stopped
from imjax.evaluation import held_out
from imjax.pipeline import out_of_fold
from imjax.pipeline.cross_validation import average_rows
from imjax.pipeline.out_of_fold import Fold

PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
BINARY = DatasetSpec("toy", "Toy", "binary", ("cell",), PALETTE[:1])


def test_pieces_of_an_image_count_together():
    truth, found = np.zeros((3, 4, 4), np.uint8), np.zeros((3, 4, 4), np.uint8)
    # Of image a the first piece is right, the second is missed; image b has nothing and nothing is found.
    truth[0, 0] = truth[1, :3] = found[0, 0] = 1
    test = Split(np.zeros((3, 4, 4, 1), np.uint8), truth, ("a#0", "a#1", "b"), ("a", "a", "b"))
    rows = out_of_fold.measure_folds(BINARY, [Fold(1, 1, test, found, 2)])
    assert [tuple(row.values()) for row in rows] == [("a", 1, 1, 0.25, 0.4), ("b", 1, 1, 1, 1)]


def test_repeats_are_no_further_images(tmp_path):
    rng = np.random.default_rng(0)
    folds = []
    for number in range(1, 5):
        truth = rng.integers(0, 2, (3, 8, 8), np.uint8)
        names = tuple(f"m{i}" for i in range(3 * ((number - 1) % 2), 3 * ((number - 1) % 2) + 3))
        images = rng.integers(0, 256, (3, 8, 8, 1), np.uint8)
        test = Split(images, truth, names, names)
        folds.append(Fold(number, (number + 1) // 2, test, truth ^ (rng.random(truth.shape) < 0.2), 2))
    summary = out_of_fold.write(tmp_path, BINARY, folds)
    with (tmp_path / held_out.TABLE).open() as file:
        rows = list(csv.DictReader(file))
    assert summary["images"] == 6 and len(rows) == 12 and summary["repeats"] == 2
    low, mean, high = (summary["iou"][name] for name in ("low", "mean", "high"))
    assert low < mean < high and mean == pytest.approx(np.mean([float(row["iou"]) for row in rows]))
    assert [float(row["iou"]) for row in rows] == sorted(float(row["iou"]) for row in rows)
    per_image = [np.mean([float(r["iou"]) for r in rows if r["image"] == f"m{i}"]) for i in range(6)]
    assert out_of_fold.bootstrap_interval(np.array(per_image)) == pytest.approx((low, high))
    with np.load(tmp_path / held_out.WORST) as file:
        assert {len(file[title]) for title in file.files} == {6} and "error map" in file.files


def test_rows_of_folds_are_averaged_by_their_images():
    def rows(value, count, member):
        shared = {
            "dataset": "d", "method": "ldt", "seed": 0, "generation": None, "member": member, "rank": 1,
            "split": "test", "class": "",
        }  # fmt: skip
        return [shared | {"metric": "iou", "value": value}, shared | {"metric": "images", "value": count}]

    merged = average_rows([rows(0.5, 3.0, 2), rows(0.9, 1.0, 0), rows(None, 2.0, 0)])
    assert [(row["metric"], row["value"], row["member"]) for row in merged] == [
        ("iou", pytest.approx(0.6), 0), ("images", 6.0, 0),
    ]  # fmt: skip


def test_a_run_with_folds(tmp_path, monkeypatch, said):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    writers.write_synthetic("folder", tmp_path / "data", {"train_val_test": 9}, size=(64, 64))
    config = get_config("folder", "ldt", "tiny")
    config.data.update(dir=str(tmp_path / "data"), folds=3, height=32, width=32)
    config.train.update(epochs=1, steps_per_epoch=2, batch_size=2)
    # What costs time here is compilation.
    config.update(num_baseline_nets=1, num_nets=1, recipe="published")
    config.ensemble.members = config.report_top_k = 1
    config.model.update(backbone="unet_dropout", features=(4, 8), dropouts=(0.0, 0.0))
    workdir = tmp_path / "run"
    with pytest.raises(Stopped):
        imjax.train(config, workdir, stopping=lambda: (workdir / "fold_2" / "config.json").exists())
    first = (workdir / "fold_1" / "stages" / "00_train_ldt" / "DONE.json").stat().st_mtime_ns
    run = imjax.train(config, workdir)
    assert (workdir / "fold_1" / "stages" / "00_train_ldt" / "DONE.json").stat().st_mtime_ns == first
    summary = json.loads((workdir / held_out.SUMMARY).read_text())
    masks = sorted(path.stem for path in (tmp_path / "data" / "masks").iterdir())
    with (workdir / held_out.TABLE).open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["image"] for row in rows) == masks and summary["fewest_val_images"] < 5
    # The headline of results.csv is that of the folds, and not of the final nets on what they know.
    results = run.results
    best = results[(results["rank"] == 1) & (results["split"] == "test") & results["class"].isna()]
    assert best[best["metric"] == "images"]["value"].item() == len(masks)
    assert best[best["metric"] == "miou"]["value"].item() == pytest.approx(summary["iou"]["mean"], abs=1e-5)
    record = json.loads((workdir / "config.json").read_text())
    assert record["counts"]["labeled"] == len(masks) and not record["copies"] and not record["seen"]
    page = run.report.read_text()
    assert "Images that no net had seen" in page and f"{rows[0]['image']}: IoU" in page
    assert "too few to tell which is best" in page
    assert held_out.describe(summary) in run.table and held_out.describe(summary) in said
    assert imjax.load(workdir).predict(np.zeros((20, 30, 3), np.uint8)).mask.shape == (20, 30)
