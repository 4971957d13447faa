"""A whole tiny run of joint training through the command: rows of nets and systems, panels, report."""

import csv
import json

import numpy as np
from whole_runs import SMALL_IMAGES


def test_nets_and_systems_are_measured_and_shown(quick_command, tiny, tmp_path):
    workdir = tmp_path / "run"
    code, out, err = quick_command(
        "configs/demo.py:tiny", workdir, *tiny, *SMALL_IMAGES, "--config.method=simeps",
        "--config.joint.pixel_weighting=metassl",
        "--config.joint.simeps.num_nets=2", "--config.baselines=()",
        "--config.train.epochs=6", "--config.joint.rampup.steps=60", "--config.joint.rampup.update_every=5",
    )  # fmt: skip
    assert code == 0, err
    with (workdir / "results.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test" and not row["class"]]
    accuracy = {}
    for row in rows:
        if row["metric"] == "mpa":
            accuracy.setdefault(row["method"], {})[int(row["member"])] = float(row["value"])
    # Two systems of two nets each.
    assert {method: sorted(found) for method, found in accuracy.items()} == {
        "simeps_metassl": [0, 1, 2, 3],
        "simeps_metassl_ensemble": [0, 1],
    }
    # Guessing uniformly gets 1/6.
    assert max(accuracy["simeps_metassl"].values()) > 0.3
    assert "simeps_metassl" in out
    stage = workdir / "stages" / "00_train_simeps_metassl"
    train = json.loads((stage / "train.json").read_text())
    assert (train["nets"], len(train["ranked"]), len(train["epoch"])) == (2, 4, 2)
    looks = np.load(stage / "looks.npz")
    assert any(name.startswith("region") and looks[name].shape[0] == 4 for name in looks.files)
    assert {"similarity, output, net 0", "similarity, output, net 1"} <= set(looks.files)
    lines = [json.loads(text) for text in (workdir / "metrics.jsonl").read_text().splitlines()]
    scalars = {line["name"] for line in lines if line["split"] == "train"}
    shown = {"supervised", "consistency", "ramp", "similarity", "region_share_uc"}
    assert shown <= scalars and any(name.startswith("threshold_") for name in scalars)
    page = (workdir / "report.html").read_text()
    assert "simEps + MetaSSL, ensemble" in page and "Unlabeled images in the loss after the last step" in page


def test_a_run_with_blocked_images_learns_and_says_what_it_is(quick_command, tiny, tmp_path):
    workdir = tmp_path / "run"
    code, _, err = quick_command(
        "synthetic_im:tiny", workdir, *tiny, *SMALL_IMAGES, "--config.method=fixmatch",
        "--config.baselines=()",
        "--config.joint.pixel_weighting=inconsistency", "--config.joint.block_input=True",
        "--config.joint.confidence_threshold=0.5", "--config.train.epochs=6", "--config.num_nets=1",
        "--config.num_baseline_nets=1", "--config.ensemble.members=1", "--config.report_top_k=1",
    )  # fmt: skip
    assert code == 0, err
    with (workdir / "results.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test" and not row["class"]]
    assert {row["method"] for row in rows} == {"fixmatch_inconsistency"}
    # Guessing uniformly gets 1/6.
    assert [float(row["value"]) > 0.2 for row in rows if row["metric"] == "mpa"] == [True]
    weights = np.load(workdir / "stages" / "00_train_fixmatch_inconsistency" / "looks.npz")
    assert set(np.unique(weights["weight of the pixels"])) <= {0, 255}
    assert not [name for name in weights.files if name.startswith("region")], "these are MetaSSL's"
    assert "FixMatch + inconsistency mask" in (workdir / "report.html").read_text()
