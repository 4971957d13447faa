"""The images that a run is worst at: their pictures, and the table of all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pages import page, row

from imjax.evaluation.per_image import TABLE, WORST, WORST_ROWS
from imjax.report import images
from imjax.report.export_tables import collect_tables
from imjax.report.load import read_run

CELLS = {
    "name": "folder_cells", "title": "cells", "kind": "binary", "classes": ["cell"],
    "palette": [[0, 0, 255]], "primary_metric": "iou",
}  # fmt: skip


@pytest.fixture
def make_worst(make_run):
    """A run of a folder with as many test images as asked for."""

    def make(folder, count, seed=0):
        made = make_run(folder, {("ldt", None): [0.5]}, method="ldt", spec=CELLS, seed=seed)
        lines = [f"images/{i:03d}.png,test,{(i + 1) / (count + 1):.6f},0.5" for i in range(count - 1)]
        void = f"images/{count - 1:03d}.png,test,,"
        (made / TABLE).write_text(
            "\n".join(["image,split,iou,dice", *lines, void, "images/v.png,val,0.1,0.2"])
        )
        stage = made / "stages" / "01_train_ldt"
        np.savez(stage / WORST, **{"image": np.zeros((1, 8, 8, 3), np.uint8)})
        (stage / WORST_ROWS).write_text(json.dumps([{"image": "images/000.png", "iou": 0.25, "dice": 0.5}]))
        return made

    return make


def test_worst_images_of_a_run(make_worst, tmp_path):
    text, parsed = page([make_worst(tmp_path / "run", 3)], tmp_path / "report.html")
    assert "images/000.png: IoU 0.250, Dice 0.500" in text and "worst-images" in parsed.anchors
    cells = [line for line in parsed.rows if line[0].startswith("images/")]
    assert cells == [["images/000.png", "0.250", "0.500"], ["images/001.png", "0.500", "0.500"],
                     ["images/002.png", "–", "–"]]  # fmt: skip
    assert "another class" not in text, "of one class no pixel can be of another"
    assert row(parsed, "image") == ["image", "IoU", "Dice"]


def test_of_many_images_the_worst(make_worst, tmp_path):
    run = read_run(make_worst(tmp_path / "run", 301))
    table = collect_tables([run])["folder_cells_ldt_images"]
    assert len(table.rows) == 50 and table.rows[0][0] == "images/000.png"
    assert table.caption.startswith("The 50 worst of 301 test images")


def test_only_of_the_run_with_images(make_worst, tmp_path):
    made = [make_worst(tmp_path / str(seed), 3, seed) for seed in (0, 1)]
    text, _ = page(made, tmp_path / "report.html")
    assert text.count(">IoU and Dice of each test image<") == 1
    assert "Worst images" not in page([make_old(made[0])], tmp_path / "report.html")[0]


def make_old(folder):
    """The run as it is before its last stage is done."""
    (folder / TABLE).unlink()
    return folder


def test_images_are_called_by_their_files(make_run, tmp_path):
    folder = make_run(tmp_path / "run", {("ldt", None): [0.5]}, method="ldt")
    strips = images.build_stage_strips(read_run(folder), 2)[1]
    assert [strip.title for strip in strips] == ["test image 1", "test image 2"]
    panels = folder / "stages" / "01_train_ldt" / "panels.npz"
    with np.load(panels) as file:
        arrays = dict(file)
    np.savez(panels, **arrays, files=np.array([f"images/{name}.png" for name in "abcd"]))
    text, _ = page([folder], tmp_path / "report.html")
    assert "<p>images/a.png</p>" in text and "test image 1" not in text
