"""Whole tiny runs of one configuration, and by `-m long` of another part of them every day; what a run must
beat, by hand."""

import csv
import datetime
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from user_errors import raises_user_error

from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode
from imjax.training import evaluate
from launch import smoke
from launch.smoke import CONFIGS, Verdict, select_part

ROOT = Path(__file__).parents[2]
PARTS = 100
TODAY = f"{datetime.date.today().toordinal() % PARTS + 1}/{PARTS}"


def test_parts_are_everything_once():
    paths = sorted(CONFIGS.glob("*.py"))
    found = [path for k in range(1, PARTS + 1) for path in select_part(paths, f"{k}/{PARTS}")]
    assert sorted(found) == paths and len(set(found)) == len(found)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b"])
def test_a_part_is_k_of_n(text):
    with raises_user_error(ErrorCode.MALFORMED, "--part"):
        select_part([], text)


def learns_and_is_done(words, count, environment, root):
    """Run the command twice: its runs learn, and the second time nothing is left to do."""
    command = [sys.executable, "-m", "launch.smoke", f"--root={root}", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert again.returncode == 0 and again.stdout.count("finished before") == count
    for path in root.glob("*/results.csv"):
        with path.open(newline="") as file:
            assert len(list(csv.DictReader(file))) > 0


def test_a_configuration_learns_something(light_environment, tmp_path):
    learns_and_is_done([str(CONFIGS / "isic2018_ldt.py")], 1, light_environment, tmp_path)


# What a date decides is no part of a suite that must give the same answer twice.
@pytest.mark.long
@pytest.mark.parametrize("today", [TODAY])
def test_todays_part_learns_something(today, light_environment, tmp_path):
    count = len(select_part(sorted(CONFIGS.glob("*.py")), today))
    learns_and_is_done([f"--part={today}"], count, light_environment, tmp_path)


def toy(kind, classes):
    return DatasetSpec("toy", "Toy", kind, classes, ((0, 0, 0),) * len(classes))


@pytest.mark.parametrize(
    ("value", "not_finite", "fault"),
    [
        (0.7, (), ""),
        (0.55, (), ""),
        (0.6, (), "one class everywhere (test miou 0.600, chance 0.400, one class everywhere 0.600)"),
        (0.50005, (), "one class everywhere"),
        (0.4, (), "no better than chance (test miou 0.400"),
        (math.nan, (), "not finite: miou"),
        (0.7, ("hd95 ring",), "not finite: hd95 ring"),
    ],
)
def test_a_run_must_beat_chance_and_say_more_than_one_class(value, not_finite, fault):
    found = Verdict("miou", value, 0.4, (0.5, 0.6), not_finite).fault
    assert found.startswith(fault) and bool(found) == bool(fault)


def test_the_best_constant_prediction_by_hand():
    # Two images of 1×4. Class 2 has 3/4 and 2/4 of their pixels, of 2 and of 3 classes in them.
    truth = np.array([[2, 2, 2, 0], [1, 2, 2, 0]], np.uint8)[:, None]
    spec = toy("multiclass", ("a", "b", "c"))
    found = [
        evaluate.figures(spec, truth=truth, prediction=p)["miou", ""]
        for p in smoke.constant_predictions(spec, truth.shape)
    ]
    assert found == pytest.approx([(1 / 4 / 2 + 1 / 4 / 3) / 2, 1 / 4 / 3 / 2, (3 / 4 / 2 + 2 / 4 / 3) / 2])


@pytest.mark.parametrize(
    ("spec", "shape", "wanted"),
    [
        (toy("binary", ("x",)), (2, 3, 3), [0, 1]),
        (toy("multilabel", ("p", "q")), (2, 3, 3, 2), [(0, 0), (0, 1), (1, 0), (1, 1)]),
    ],
)
def test_constants_of_one_class_and_of_channels(spec, shape, wanted):
    found = list(smoke.constant_predictions(spec, shape))
    assert [part[0, 0, 0].tolist() for part in found] == [np.array(value).tolist() for value in wanted]
    assert {(part.shape, part.dtype.name) for part in found} == {(shape, "uint8")}
    assert all((part == part[:1, :1, :1]).all() for part in found)


def test_figures_are_those_of_the_last_stage_even_if_not_finite(monkeypatch):
    def row(method="im", generation=1, rank=1, split="test", metric="miou", class_name="", value=0.5):
        return dict(locals())

    rows = [
        row("ldt", None, value=0.1), row(generation=0, value=0.2), row(rank=2), row(split="val"),
        row(value=None), row(metric="iou", class_name="sky", value=0.3),
    ]  # fmt: skip
    table = pd.DataFrame(rows).astype({"generation": "Int64", "value": "float64"})
    monkeypatch.setattr(smoke, "read_run", lambda workdir: SimpleNamespace(results=table))
    assert smoke.read_last_stage(Path("run"), "im") == {("miou", ""): None, ("iou", "sky"): 0.3}
    assert smoke.read_last_stage(Path("run"), "ldt") == {("miou", ""): 0.1}
    assert smoke.read_last_stage(Path("run"), "cps") == {}
