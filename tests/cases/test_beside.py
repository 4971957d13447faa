"""What goes wrong beside the files: scores, folders, paths, devices; inputs are made here."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from user_errors import raises_user_error

import imjax
from imjax import user_paths
from imjax.config.schema import Data, Synthetic
from imjax.data import copies, pack
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode
from imjax.evaluation import image_counts
from imjax.pipeline import results, workdir
from imjax.report import aggregate, run_warnings
from imjax.report.load import read_run
from imjax.training import devices, evaluate, metric_writer

ROOT = Path(__file__).parents[2]
SPECK = DatasetSpec("cells", "Cells", "binary", ("cell",), ((0, 0, 255),), channels=1, primary_metric="iou")


@pytest.fixture
def specks():
    """Five images with one object of 3×3 pixels each, and two without."""
    truth = np.zeros((7, 32, 32), np.uint8)
    for i in range(5):
        truth[i, 4 * i : 4 * i + 3, 8:11] = 1
    return truth


@pytest.mark.parametrize("painted", [0, 1])
def test_a_net_of_one_class_has_no_score_and_is_named(painted, specks):
    found = evaluate.figures(SPECK, truth=specks, prediction=np.full_like(specks, painted))
    assert found["iou_nonempty", ""] == pytest.approx(painted * 9 / 1024)
    # Empty images count 1 where nothing is painted, and that is said.
    assert found["iou", ""] == pytest.approx((1 - painted) * 2 / 7 + painted * 9 / 1024 * 5 / 7)
    assert [found[name, ""] for name in image_counts.COUNTS] == [7, 2, 5 * (1 - painted), 5 * painted]
    assert image_counts.is_useless(found)
    assert "2 of 7 images have no object" in image_counts.describe_empty_images(SPECK, found)
    said = image_counts.describe_failures(found)
    assert said == "this net predicts " + (
        "one class everywhere on 5 of 7 images" if painted else "nothing on 5 of 5 images that have an object"
    )


def rows_of(figures, method="ldt", seed=0):
    head = {"dataset": "cells", "method": method, "seed": seed, "generation": None, "member": 0, "rank": 1}
    return [
        head | {"split": split, "metric": metric, "class": name, "value": value}
        for split in ("val", "test")
        for (metric, name), value in figures.items()
    ]


def test_the_table_states_empty_images_and_failing_nets_and_has_no_column_of_counts(specks):
    rows = rows_of(evaluate.figures(SPECK, truth=specks, prediction=np.zeros_like(specks)))
    table, notes = results.table(rows, "iou", 1), results.notes(rows, SPECK)
    assert table.split()[:4] == ["method", "generation", "iou", "iou_nonempty"]
    assert not set(image_counts.COUNTS) & set(table.split())
    assert "test: 2 of 7 images have no object" in notes and "empty_iou = one" in notes
    assert "ldt: this net predicts nothing on 5 of 5 images" in notes
    good = rows_of(evaluate.figures(SPECK, truth=specks[:5], prediction=specks[:5]))
    assert results.notes(good, SPECK) == ""


@pytest.mark.parametrize("useless", [True, False])
def test_the_report_states_them_too(useless, specks, tmp_path):
    prediction = np.zeros_like(specks)
    prediction[0] = 0 if useless else specks[0]
    rows = rows_of(evaluate.figures(SPECK, truth=specks, prediction=prediction))
    results.write(tmp_path, rows)
    config = {"method": "ldt", "seed": 0, "report_top_k": 1, "data": {"dir": ""}}
    record = {"config": config, "start": "ldt", "spec": dataclasses.asdict(SPECK)}
    (tmp_path / "config.json").write_text(json.dumps(record))
    found = aggregate.collect_results([read_run(tmp_path)], {})
    assert not set(image_counts.COUNTS) & set(found.metrics)
    alarms = run_warnings.warn_failing_nets(found.entries, useless=True)
    cautions = run_warnings.warn_failing_nets(found.entries, useless=False)
    assert (len(alarms), len(cautions)) == (useless, not useless)
    assert f"nothing on {5 if useless else 4} of 5 images" in (alarms + cautions)[0]
    assert "2 of 7 images have no object" in run_warnings.note_empty_images(found.entries, SPECK)[0]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    options = Data("synthetic", height=16, width=16, synthetic=Synthetic(4, 2, 2))
    return pack.load_packed(pack.prepare_dataset(options, tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("name", workdir.WRITTEN)
def test_what_is_not_ours_is_not_replaced(name, tmp_path, demo_config, packed):
    (tmp_path / name).write_text("mine")
    with raises_user_error(ErrorCode.CONFLICT, "--workdir"):
        workdir.open_workdir(tmp_path, demo_config, packed)
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "mine"


def test_copies_on_both_sides_of_a_split(packed):
    draw = np.random.default_rng(0)
    train, val, test = (draw.integers(0, 256, (3, 8, 8, 3), np.uint8) for _ in range(3))
    test[1], test[2], val[0] = train[2], val[1], train[0]
    # Images of one gray level are alike, and no copies.
    train[1], test[0] = 0, 0
    names = {split: [f"{split}{i}" for i in range(3)] for split in ("labeled", "unlabeled", "val", "test")}
    images = {"labeled": train, "unlabeled": train[:0], "val": val, "test": test}
    names["unlabeled"] = []
    found = copies.find_copies({split: (names[split], images[split]) for split in images})
    assert found["test"] == [("test1", "labeled2 (labeled)"), ("test2", "val1 (val)")]
    assert found["val"] == [("val0", "labeled0 (labeled)")]
    lines = copies.describe_copies(found, {"val": 3, "test": 3})
    assert "1 of 3 val images" in lines[0] and "2 of 3 test images" in lines[1]
    assert workdir.open_workdir and not any(packed.copies.values())


def test_a_run_records_copies_and_the_report_says_so(tmp_path, demo_config, packed):
    splits = packed.splits | {"test": packed.splits["labeled"]}
    found = copies.find_copies({name: (split.names, split.images) for name, split in splits.items()})
    packed = dataclasses.replace(packed, splits=splits, manifest=packed.manifest | {"copies": found})
    record = workdir.record(demo_config, packed, ())
    count = len(packed.splits["labeled"].names)
    assert record["copies"]["test"] == count
    (tmp_path / "config.json").write_text(json.dumps(record, default=str))
    (line,) = run_warnings.warn_copies([read_run(tmp_path)])
    assert f"{count} of {count} test images are exact copies of training or val images" in line


@pytest.mark.parametrize(
    ("path", "code"),
    [("", ErrorCode.MALFORMED), ("  ", ErrorCode.MALFORMED), ("~nobody-of-that-name/x", ErrorCode.MISSING)],
)
def test_paths_that_lead_nowhere(path, code):
    with raises_user_error(code, "--workdir"):
        user_paths.expand_path(path, "--workdir")
    with raises_user_error(code, "workdir"):
        imjax.load(path)


def test_the_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_paths.expand_path("~/x", "--workdir") == tmp_path / "x"
    assert user_paths.expand_path("a/~b", "--workdir") == Path("a/~b")
    given = {"data": {"dir": "~/cells", "cache": ""}, "model": {"weights": "none"}, "seed": 0}
    expanded = user_paths.expand_config(given)
    assert expanded["data"] == {"dir": str(tmp_path / "cells"), "cache": ""}
    assert expanded["model"] == given["model"] and given["data"]["dir"] == "~/cells"


def test_a_user_without_a_home_has_a_cache(monkeypatch):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    assert pack.default_cache().name == "imjax" and pack.default_cache().is_absolute()


def test_a_device_without_its_plugin_is_one_line():
    code = "from imjax.training import devices; devices.check_backend()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"JAX_PLATFORMS": "no_such_device"},
    )  # fmt: skip
    assert "UserError: JAX_PLATFORMS=no_such_device" in done.stderr.splitlines()[-1]
    devices.check_backend()


@pytest.mark.parametrize(
    ("flags", "field"),
    [
        (("--size=100,100",), "data.width"),
        (("--tile_overlap=2",), "data.tile_overlap"),
        (("--raw=",), "--raw"),
    ],
)
def test_the_check_refuses_what_packing_refuses(flags, field, tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for i in range(8):
            picture = np.full((32, 32), i, np.uint8)
            picture[8:16, 8:16] = 255 if folder == "images" else 1
            cv2.imwrite(str(tmp_path / folder / f"{i}.png"), picture)
    codes = []
    for check in (("--check", f"--sheet={tmp_path / 'sheet.png'}"), (f"--out={tmp_path.parent / 'cache'}",)):
        command = [
            sys.executable,
            "-m",
            "imjax.prepare",
            "--dataset=folder",
            f"--raw={tmp_path}",
            *check,
            *flags,
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr
        # The check lists a problem among those of the files, and ends with their number.
        name = field.removeprefix("data.").removeprefix("--").replace("width", "size")
        assert name in done.stdout + done.stderr
        codes.append(done.returncode)
    assert codes == [2, 2]


def test_a_figure_that_is_no_number_is_no_event(tmp_path, monkeypatch):
    written = []

    class Events:
        def write_scalars(self, step, values):
            written.append(values)

        def close(self):
            pass

    monkeypatch.setattr(metric_writer, "_events", lambda folder: Events())
    writer = metric_writer.Writer(tmp_path)
    for value in (0.5, math.nan, math.inf):
        writer.scalar("train_ldt", None, 1, "val", "loss", value)
    writer.close()
    assert written == [{"train_ldt/val/loss": 0.5}]
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["value"] for line in lines] == [0.5, None, None]
