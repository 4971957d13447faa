"""Whole tiny runs through `python -m imjax.main`: files, figures, resuming."""

import csv
import json
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from whole_runs import SMALL_IMAGES


def result_rows(workdir):
    with (workdir / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def figures(rows, method, generation, metric="miou", split="test"):
    wanted = {"method": method, "generation": generation, "metric": metric, "split": split, "class": ""}
    return [float(r["value"]) for r in rows if all(r[k] == v for k, v in wanted.items())]


def test_files_of_a_run(demo):
    workdir, out = demo
    for name in ("config.json", "metrics.jsonl", "results.csv", "report.html"):
        assert (workdir / name).stat().st_size > 0
    assert list(workdir.glob("events.out.*"))
    stages = sorted(path.name for path in (workdir / "stages").iterdir())
    assert stages == [
        "00_train_ldt", "01_train_aldt", "02_pairs", "03_evalnet",
        "04_label_g0", "05_train_g0", "06_label_g1", "07_train_g1",
    ]  # fmt: skip
    assert all((workdir / "stages" / name / "DONE.json").exists() for name in stages)
    assert not list((workdir / "checkpoints").iterdir())
    assert "aim_pp  1" in out and "report.html" in out


def test_results_have_every_candidate_ranked_on_val(demo):
    rows = result_rows(demo[0])
    assert set(rows[0]) == {
        "dataset", "method", "seed", "generation", "member", "rank", "split", "metric", "class", "value"
    }  # fmt: skip
    for method, generation in (("ldt", ""), ("aldt", ""), ("aim_pp", "0"), ("aim_pp", "1")):
        for metric in ("miou", "mpa", "miou_dataset", "dice_dataset"):
            for split in ("val", "test"):
                values = figures(rows, method, generation, metric, split)
                assert len(values) == 2 and all(0 < v <= 1 for v in values)
    train = json.loads((demo[0] / "stages" / "01_train_aldt" / "train.json").read_text())
    ranked = figures(rows, "aldt", "", "miou", "val")
    assert ranked == sorted(ranked, reverse=True)
    first = [r["member"] for r in rows if r["method"] == "aldt" and r["rank"] == "1"]
    assert set(first) == {str(train["ranked"][0])}


def test_images_of_the_final_nets_have_the_figures_of_the_results(demo):
    with (demo[0] / "per_image.csv").open(newline="") as file:
        images = list(csv.DictReader(file))
    for split, count in (("test", 12), ("val", 8)):
        values = [float(row["iou"]) for row in images if row["split"] == split]
        assert len(values) == count and values == sorted(values)
        final = figures(result_rows(demo[0]), "aim_pp", "1", "miou", split)[0]
        assert np.mean(values) == pytest.approx(final, abs=1e-6)
    page = (demo[0] / "report.html").read_text()
    assert "Worst images" in page and f"{images[0]['image']}: IoU {float(images[0]['iou']):.3f}" in page


def test_better_than_chance(demo):
    # Guessing a class per pixel uniformly gets a pixel accuracy of 1/6.
    rows = result_rows(demo[0])
    assert max(figures(rows, "aim_pp", "1", "mpa")) > 0.4


def test_metrics_are_the_loops_figures(demo):
    lines = [json.loads(text) for text in (demo[0] / "metrics.jsonl").read_text().splitlines()]
    losses = [x for x in lines if x["stage"] == "train_aldt" and x["split"] == "train" and x["member"] == 0]
    assert [x["step"] for x in losses] == [6, 12, 18, 24, 30, 36]
    assert losses[-1]["value"] < losses[0]["value"]
    sizes = {(x["stage"], x["split"]) for x in lines if x["name"] == "inconsistent_pixels"}
    assert {("train_g1", "val"), ("train_g1", "test"), ("label_g1", "unlabeled")} <= sizes


def test_pseudo_labels_are_blocked_consistently(demo):
    data = np.load(demo[0] / "stages" / "04_label_g0" / "labels.npz")
    assert (data["label"][data["inconsistent"]] == 0).all()
    assert ((data["copies"] >= 1) & (data["copies"] <= 5)).all() and data["keep"].all()
    done = json.loads((demo[0] / "stages" / "05_train_g0" / "DONE.json").read_text())
    # 6 labeled ×10, 54 blocked pairs, and their copies.
    assert done["pairs"] == 60 + 54 + data["copies"].sum()


def test_a_generation_shows_its_own_prediction_beside_the_pseudo_label(demo):
    stages = demo[0] / "stages"
    shown = np.load(stages / "04_label_g0" / "panels.npz")["pseudo-label"]
    (predicted,) = np.load(stages / "05_train_g0" / "unlabeled.npz").values()
    assert predicted.shape == shown.shape and predicted.dtype == np.uint8
    assert not (stages / "01_train_aldt" / "unlabeled.npz").exists()


def test_training_stages_tell_their_speed(demo):
    facts = [json.loads(path.read_text()) for path in sorted(demo[0].glob("stages/*_train_*/DONE.json"))]
    assert len(facts) == 4 and all(fact["images_per_second"] > 0 for fact in facts)
    assert {fact["steps_before"] for fact in facts} == {0} and all(fact["steps"] > 0 for fact in facts)


def test_the_same_command_again_does_nothing(demo, command, tiny):
    workdir, _ = demo
    before = (workdir / "results.csv").read_bytes()
    code, out, err = command("configs/demo.py:tiny", workdir, *tiny)
    assert code == 0 and err.count("already done") == 8 and "aim_pp" in out
    assert (workdir / "results.csv").read_bytes() == before


def test_a_run_repeats_its_damaged_stages(demo, command, tiny, tmp_path):
    workdir = shutil.copytree(demo[0], tmp_path / "run")
    labels = workdir / "stages" / "06_label_g1" / "labels.npz"
    labels.write_bytes(labels.read_bytes()[:1000])
    (workdir / "stages" / "04_label_g0" / "DONE.json").write_text('{"dig')
    code, _, err = command("configs/demo.py:tiny", workdir, *tiny)
    assert code == 0 and err.count("already done") == 6, err
    assert f"{labels}: damaged; the stage is run again" in err and "DONE.json: damaged" in err
    for name in ("results.csv", "stages/06_label_g1/labels.npz"):
        assert (workdir / name).read_bytes() == (demo[0] / name).read_bytes()
    lines = [sorted((at / "metrics.jsonl").read_text().splitlines()) for at in (demo[0], workdir)]
    assert lines[0] == lines[1]


def test_killed_and_resumed_is_bit_identical(demo, command, tiny, tmp_path):
    workdir = tmp_path / "run"
    # Inside a training stage, inside a stage that saves nothing on its way, inside another training after a
    # SIGTERM, then to the end.
    interrupt(command, workdir, tiny, "checkpoints/01_train_aldt-*/[0-9]*", signal.SIGKILL)
    interrupt(command, workdir, tiny, "stages/*_pairs*", signal.SIGKILL)
    code, err = interrupt(command, workdir, tiny, "checkpoints/05_train_g0-*/[0-9]*", signal.SIGTERM)
    assert code == 0 and "give the same command again to go on" in err
    code, _, err = command("configs/demo.py:tiny", workdir, *tiny)
    assert code == 0 and "going on from" in err
    assert (workdir / "results.csv").read_bytes() == (demo[0] / "results.csv").read_bytes()
    assert (workdir / "metrics.jsonl").read_text() == (demo[0] / "metrics.jsonl").read_text()


@pytest.mark.long
@pytest.mark.parametrize("kills", [20])
def test_killed_at_random_moments_is_bit_identical(kills, demo, command, tiny, tmp_path):
    draw, made, folders = random.Random(kills), 0, 0
    while made < kills:
        # A run that gets to its end before all kills are made is followed by another.
        workdir, alive = tmp_path / f"run{folders}", True
        folders += 1
        while made < kills and alive:
            # Two seconds for the imports: a kill before that meets nothing.
            alive = killed(command.start("configs/demo.py:tiny", workdir, *tiny), 2 + draw.uniform(0, 10))
            made += alive
        code, _, err = command("configs/demo.py:tiny", workdir, *tiny)
        assert code == 0, err
        for name in ("results.csv", "metrics.jsonl"):
            assert (workdir / name).read_bytes() == (demo[0] / name).read_bytes(), f"after {made} kills"


def killed(process, seconds):
    """Kill the process after so long; False if it was done before."""
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True
    return False


def interrupt(command, workdir, tiny, sign, how):
    """Send a signal once the run's folder has a path like `sign`; exit code and stderr."""
    process = command.start("configs/demo.py:tiny", workdir, *tiny)
    deadline = time.monotonic() + 300
    while not list(workdir.glob(sign)):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(how)
    _, err = process.communicate(timeout=120)
    return process.returncode, err


def test_stages_of_another_run_are_copied(demo, command, tiny, tmp_path):
    workdir = tmp_path / "run"
    flags = ("--config.method=im", "--config.generations=1", f"--reuse={demo[0]}")
    code, _, err = command("configs/demo.py:tiny", workdir, *tiny, *flags)
    assert code == 0 and err.count("copied from") == 1 and "train_ldt: copied from" in err, err
    of_runs = [result_rows(folder) for folder in (demo[0], workdir)]
    shared = [[line for line in rows if line["method"] == "ldt"] for rows in of_runs]
    assert shared[0] == shared[1] and len(figures(result_rows(workdir), "im", "0")) == 2
    lines = [(folder / "metrics.jsonl").read_text().splitlines() for folder in (demo[0], workdir)]
    of_ldt = [[line for line in text if '"train_ldt"' in line] for text in lines]
    assert of_ldt[0] == of_ldt[1] and of_ldt[0]


def test_a_folder_to_take_from_must_be_a_run(demo, command, tiny, tmp_path):
    code, _, err = command("configs/demo.py:tiny", tmp_path / "run", *tiny, f"--reuse={tmp_path}")
    assert code == 2 and "config.json: No such file or directory; expected the folder of a run" in err


def test_selecting_on_test_ranks_by_test_and_says_so(quick_command, tiny, tmp_path):
    flags = ("--config.method=ldt", "--config.select_on_test=True", "--config.num_baseline_nets=3")
    # How much its nets learn does not matter here.
    flags += ("--config.train.epochs=2", *SMALL_IMAGES)
    code, _, err = quick_command("configs/demo.py:tiny", tmp_path / "run", *tiny, *flags)
    assert code == 0, err
    values = figures(result_rows(tmp_path / "run"), "ldt", "")
    assert len(values) == 3 and values == sorted(values, reverse=True)
    assert "ranked on TEST" in (tmp_path / "run" / "report.html").read_text()


def test_other_configuration_in_the_same_folder_is_refused(demo, command, tiny):
    code, _, err = command("configs/demo.py:tiny", demo[0], *tiny, "--config.seed=1")
    assert code == 2 and "seed: 0 → 1" in err and "Traceback" not in err
