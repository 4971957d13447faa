"""Volumes through the whole: a tiny run of CPS by the command, and what shows of volumes."""

import csv
import json

import numpy as np

from imjax.data.spec import DatasetSpec
from imjax.data.synthetic import writers
from imjax.pipeline import image_panels

FEW = (
    "--config.num_nets=1", "--config.report_top_k=1", "--config.ensemble.members=1", "--config.data.depth=32",
    "--config.data.height=32", "--config.data.width=32", "--config.joint.patch=(8,16,16)",
    "--config.model.features=(4,8)", "--config.model.dropouts=(0.05,0.1)", "--config.train.epochs=3",
    "--config.train.steps_per_epoch=10",
)  # fmt: skip


def test_a_run_on_three_volumes(quick_command, tmp_path):
    # Two to train: one is labeled, one is val, and none is left: the labeled one stands in.
    writers.write_synthetic("la", tmp_path / "la", {"train": 2, "test": 1}, size=(32, 32))
    workdir = tmp_path / "run"
    code, out, err = quick_command(
        "configs/la_cps.py:tiny", workdir, f"--config.data.dir={tmp_path / 'la'}", *FEW
    )
    assert code == 0, err
    assert "1 labeled and 0 unlabeled images" in err and "the labeled ones stand in" in err
    with (workdir / "results.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    of_atrium = {(r["method"], r["metric"]): float(r["value"]) for r in rows if r["class"] == "atrium"}
    for method in ("cps", "cps_ensemble"):
        assert {"dice", "iou", "hd95", "assd", "iou_dataset"} <= {m for who, m in of_atrium if who == method}
        # To call every voxel atrium has a Dice of twice its share over one more: at most 0.26 here.
        assert of_atrium[method, "dice"] > 0.4
    assert "cps_ensemble" in out
    stage = workdir / "stages" / "00_train_cps"
    seen, looks = np.load(stage / "panels.npz"), np.load(stage / "looks.npz")
    assert seen["prediction"].shape == (1, 32, 32, 3) and looks["view"].shape == (2, 16, 16, 3)
    lines = [json.loads(text) for text in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert len([x for x in lines if x["split"] == "val" and x["name"] == "hard_miou"]) == 3


def test_the_middle_slice_is_shown():
    volumes = np.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    spec = DatasetSpec("toy", "Toy", "binary", ("a",), ((0, 0, 0),), dims=3)
    np.testing.assert_array_equal(image_panels.plane(spec, volumes), volumes[:, 1])
