"""The tables of docs/results.md: their runs can be planned, and their lines are read from finished runs."""

import json
from pathlib import Path

import pandas as pd
import pytest
from user_errors import raises_user_error

from benchmarks import result_tables
from benchmarks.result_tables import TABLES, Figures, Group, Row
from imjax.data.readers import registry
from imjax.errors import ErrorCode
from imjax.report.load import RunRecord, StageRecord


@pytest.mark.parametrize("name", TABLES)
def test_every_line_is_a_run_of_its_own(name, tmp_path):
    groups = TABLES[name](1000)
    runs = [
        result_tables.make_run(group, row, 1, tmp_path / "data", tmp_path)
        for group in groups
        for row in group.rows
    ]
    assert len({run.name for run in runs}) == len(runs) > 15
    assert {run.config.seed for run in runs} == {1}
    assert all(Path(run.config.data.dir).parent == tmp_path / "data" for run in runs)
    assert {run.config.data.dataset for run in runs} <= set(registry.names())


def test_lines_of_a_start_have_the_peers_steps_and_labeled_images():
    runs = [
        result_tables.make_run(group, row, 0, Path("data"), Path("runs"))
        for group in TABLES["start"](1000)
        for row in group.rows
    ]
    for run in runs:
        train, joint = run.config.train, run.config.method not in ("ldt", "fdt", "im")
        assert train.epochs * train.steps_per_epoch == result_tables.STEPS
        assert train.batch_size == result_tables.BATCH * (1 + joint)
        assert run.config.recipe == "strong"
    assert {run.config.model.weights for run in runs} == {"none", "imagenet"}


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["study", "start"]])
def test_a_table_must_be_known(arguments):
    with raises_user_error(ErrorCode.UNKNOWN, "table"):
        result_tables.select_groups(arguments, [])


def test_datasets_are_chosen_by_their_folders():
    (group,) = result_tables.select_groups(["start"], ["camvid"])
    assert group.folder == "camvid"
    with raises_user_error(ErrorCode.UNKNOWN, "--only"):
        result_tables.select_groups(["start"], ["camvid", "suim"])


def test_lines_are_chosen_by_words_of_their_titles():
    (group,) = result_tables.select_groups(["start"], ["camvid"], ["pretrained: all", "from scratch: IM"])
    assert [row.title for row in group.rows] == ["from scratch: IM", "pretrained: all labels"]
    assert group.peer is None
    (group,) = result_tables.select_groups(["start"], ["camvid"], ["PyTorch"])
    assert not group.rows and group.peer
    with raises_user_error(ErrorCode.UNKNOWN, "--lines"):
        result_tables.select_groups(["start"], ["camvid"], ["Keras"])


def test_steps_of_a_start_fill_epochs():
    (group,) = result_tables.select_groups(["start"], ["camvid"], ["IM"], 600)
    run = result_tables.make_run(group, group.rows[0], 0, Path("data"), Path("runs"))
    assert run.config.train.epochs * run.config.train.steps_per_epoch == 600
    with raises_user_error(ErrorCode.OUT_OF_RANGE, "--steps"):
        result_tables.select_groups(["start"], ["camvid"], [], 610)
    with raises_user_error(ErrorCode.CONFLICT, "--steps"):
        result_tables.select_groups(["study"], [], [], 600)


def run_record(tmp_path, rows, training, seconds):
    columns = ("method", "generation", "rank", "split", "metric", "class_name", "value")
    results = pd.DataFrame(rows, columns=columns).astype({"generation": "Int64"})
    stages = [StageRecord("x", {"seconds": s}, t, tmp_path) for s, t in zip(seconds, training, strict=True)]
    record = {"config": {"method": "im", "seed": 0}, "method": "im", "start": "ldt"}
    return RunRecord(tmp_path, record, registry.spec("isic2017"), results, (), tuple(stages))


def test_a_runs_figure_is_of_its_last_generations_best_candidate(tmp_path):
    rows = [
        ("ldt", None, 1, "test", "iou", "", 0.9), ("im", 0, 1, "test", "iou", "", 0.8),
        ("im", 1, 1, "val", "iou", "", 0.5), ("im", 1, 2, "test", "iou", "", 0.7),
        ("im", 1, 1, "test", "iou", "", 0.6), ("im", 1, 1, "test", "iou_dataset", "", 0.4),
    ]  # fmt: skip
    extents = [
        {"method": "ldt", "generation": None, "steps": 5, "images_seen": 40},
        {"method": "im", "generation": 1, "steps": 10, "images_seen": 80},
    ]
    found = result_tables.read_figures(run_record(tmp_path, rows, extents, [30, 90]))
    assert found == Figures(test=0.6, val=0.5, extent=(10, 80), minutes=2.0)


def test_a_table_has_seeds_and_names_what_is_left(tmp_path, monkeypatch):
    row = Row("alone", "isic2017_ldt:small", ("train.epochs=2", "train.steps_per_epoch=5"))
    group = Group("Skin", "isic2017", (row,), peer=row._replace(title="PyTorch"))
    points = [result_tables.make_run(group, group.rows[0], seed, tmp_path, tmp_path) for seed in range(3)]
    monkeypatch.setattr(result_tables.run_status, "is_finished", lambda point: point.config.seed < 2)
    monkeypatch.setattr(result_tables, "read_run", lambda workdir: workdir)
    monkeypatch.setattr(
        result_tables,
        "read_figures",
        lambda workdir: Figures(0.5 + 0.1 * int(str(workdir)[-1]), 0.25, (10, 80), 3.0),
    )
    for seed in range(3):
        # As it lies there after an earlier call.
        text = json.dumps({"rows": [{"val": 0.5, "test": 0.75, "seconds": 60}]})
        (tmp_path / f"skin-pytorch-seed={seed}-steps=10.json").write_text(text)
    peers = [result_tables.make_run(group, group.peer, seed, tmp_path, tmp_path) for seed in range(3)]
    lines = result_tables.render_group(group, [(row, points)], peers, tmp_path)
    assert lines[0] == "### Skin"
    assert lines[4] == "| alone | 0.550 ± 0.071 | 0.250 ± 0.000 | 10 × 8 | 3 | 2 |"
    assert lines[5].startswith(
        "| PyTorch, pretrained: labeled images only | 0.750 ± 0.000 | 0.500 ± 0.000 | 10 × 8 |"
    )
    assert lines[-2] == "Not finished: skin-alone-seed=2"
