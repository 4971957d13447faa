"""imjax convert as a command: folders and .zip files, what it prints, what it refuses."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from absl import flags
from user_errors import raises_user_error

from imjax import convert
from imjax.data.folder.mask_file import read_mask
from imjax.data.formats import coco
from imjax.errors import ErrorCode

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    mask = np.zeros((9, 12), np.uint8)
    mask[2:6, 3:8] = 255
    for part, array in (("images", pixels), ("masks", mask)):
        (tmp_path / "mine" / part).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "mine" / part / "a.png"), array)
    return tmp_path / "mine"


@pytest.fixture
def run(monkeypatch):
    """The command in this process."""
    values = flags.FlagValues()
    define = {"DEFINE_enum": flags.DEFINE_enum, "DEFINE_string": flags.DEFINE_string}
    for name, function in define.items():
        monkeypatch.setattr(flags, name, lambda *args, function=function: function(*args, flag_values=values))
    convert.define_flags()
    monkeypatch.setattr(convert, "FLAGS", values)

    def call(*words):
        convert.main(values(["imjax convert", *map(str, words)])[1:])

    return call


def test_zip_files_go_both_ways(folder, tmp_path, run, capsys):
    run(folder, tmp_path / "task.zip", "--format=cvat")
    assert "1 images, 1 regions of foreground" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "task.zip") as archive:
        assert {"labelmap.txt", "SegmentationClass/a.png", "ImageSets/Segmentation/default.txt"} <= {
            *archive.namelist()
        }
    run(tmp_path / "task.zip", tmp_path / "back", "--format=folder", f"--images={folder / 'images'}")
    drawn = cv2.imread(str(folder / "masks" / "a.png"), cv2.IMREAD_UNCHANGED) > 0
    np.testing.assert_array_equal(read_mask(tmp_path / "back" / "masks" / "a.png").pixels == 1, drawn)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["../evil.json", "/evil.json"])
def test_archives_do_not_write_outside(name, tmp_path, run):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr(name, "{}")
    with raises_user_error(ErrorCode.MALFORMED, "in.zip"):
        run(tmp_path / "in.zip", tmp_path / "out")
    (tmp_path / "in.zip").write_bytes(b"PK no more")
    with raises_user_error(ErrorCode.UNREADABLE, "in.zip"):
        run(tmp_path / "in.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path.parent / "evil.json").exists()


def test_what_is_there_stays(folder, tmp_path, run):
    (tmp_path / "out").mkdir()
    run(folder, tmp_path / "out", "--format=labelme")
    written = json.loads((tmp_path / "out" / "a.json").read_text())
    assert written["imagePath"] == "a.png" and (tmp_path / "out" / "a.png").is_file()
    for words, code, field in (
        ((folder, tmp_path / "out"), ErrorCode.CONFLICT, "TO"),
        ((folder,), ErrorCode.MISSING, "FROM TO"),
        ((tmp_path / "nothing", tmp_path / "new"), ErrorCode.MISSING, "FROM"),
        ((folder / "masks", tmp_path / "new"), ErrorCode.UNSUPPORTED, "FROM"),
        ((tmp_path / "out", tmp_path / "new", f"--images={tmp_path / 'no'}"), ErrorCode.MISSING, "--images"),
    ):
        with raises_user_error(code, field):
            run(*words)
    assert not (tmp_path / "new").exists()


def test_coco_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with raises_user_error(ErrorCode.UNAVAILABLE, "pycocotools") as info:
        coco.load_coder()
    assert "imjax[coco]" in str(info.value)


def test_the_subcommand(folder, tmp_path, command_environment):
    line = [sys.executable, "-m", "imjax.cli", "convert", str(folder), str(tmp_path / "q"), "--format=qupath"]
    environment = dict(command_environment, PYTHONPATH=os.pathsep.join([str(ROOT)]))
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "q" / "a.png.geojson").is_file()


def test_a_choice_is_named_as_the_flag_of_this_command(folder, tmp_path, run, said):
    """Values that may be ids of classes or numbers of objects."""
    mask = (600 * np.arange(9 * 12)).astype(np.uint16).reshape(9, 12)
    cv2.imwrite(str(folder / "masks" / "a.png"), mask)
    with raises_user_error(ErrorCode.OUT_OF_RANGE, "a.png") as info:
        run(folder, tmp_path / "out")
    assert "data.label_kind=binary" in str(info.value)
    assert any("--label_kind=… in this command" in line for line in said)
