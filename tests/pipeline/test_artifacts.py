"""Finished stages: complete and undamaged, or run again."""

from __future__ import annotations

import json
import os

import pytest

from imjax.pipeline.artifacts import ArtifactStore
from imjax.pipeline.plan import make_plan

STAGE = "train_ldt"


@pytest.fixture
def store(demo_config, tmp_path):
    """A run with one finished stage, opened anew by each call."""

    def opened(*reusable_runs):
        return ArtifactStore(tmp_path / "run", make_plan(demo_config), ["inputs"], reusable_runs)

    first = opened()
    folder = first.begin(STAGE)
    (folder / "nets").mkdir()
    (folder / "nets" / "weights").write_bytes(bytes(100))
    (folder / "rows.json").write_text("[]")
    first.commit(STAGE, folder, {"pairs": 3})
    return opened


def test_a_whole_stage_is_done(store, said):
    assert store().is_done(STAGE) and not said
    done = json.loads((store().folder(STAGE) / "DONE.json").read_text())
    assert done["pairs"] == 3 and sorted(done["files"]) == ["nets/weights", "rows.json"]


class Killed(BaseException):
    """What no code of a run catches, so that nothing is tidied up, as after SIGKILL."""


@pytest.mark.parametrize("done", [False, True])
def test_killed_between_two_stages(done, store, monkeypatch):
    """The moment at which a stage's artifacts get their name: it is done or it is not, nothing between."""
    first, replace = store(), os.replace
    folder = first.begin("train_aldt")
    (folder / "rows.json").write_text("[1]")

    def killed(source, target):
        last = source == folder
        if done or not last:
            replace(source, target)
        if last:
            raise Killed

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(Killed):
        first.commit("train_aldt", folder, {})
    monkeypatch.undo()
    again = store()
    assert again.is_done(STAGE) and again.is_done("train_aldt") == done
    folder = again.begin("train_aldt")
    assert not list(folder.iterdir())
    (folder / "rows.json").write_text("[2]")
    again.commit("train_aldt", folder, {})
    assert (again.folder("train_aldt") / "rows.json").read_text() == "[2]"


@pytest.mark.parametrize("text", ["", '{"digest": "', "[]", "null", '{"files": 3}', "\udcff"])
def test_a_damaged_done_json_is_said_and_the_stage_not_done(text, store, said):
    (store().folder(STAGE) / "DONE.json").write_bytes(text.encode(errors="surrogateescape"))
    assert not store().is_done(STAGE)
    (line,) = said
    assert "DONE.json: damaged (" in line and "the stage is run again" in line and "\n" not in line


@pytest.mark.parametrize("damage", [b"", bytes(99), b"\1" + bytes(99), None])
def test_a_damaged_file_is_said_and_the_stage_not_done(damage, store, said):
    path = store().folder(STAGE) / "nets" / "weights"
    path.unlink() if damage is None else path.write_bytes(damage)
    assert not store().is_done(STAGE)
    assert said == [f"{path}: damaged; the stage is run again"]


@pytest.mark.parametrize("key", ["digest", "files"])
def test_a_done_json_without_its_keys_is_damaged(key, store, said):
    path = store().folder(STAGE) / "DONE.json"
    done = json.loads(path.read_text())
    del done[key]
    path.write_text(json.dumps(done))
    assert not store().is_done(STAGE) and "DONE.json: damaged (no digest or no list of files)" in said[0]


def test_nothing_damaged_is_copied(store, demo_config, tmp_path, said):
    other = ArtifactStore(tmp_path / "other", make_plan(demo_config), ["inputs"], [tmp_path / "run"])
    assert other.find_reusable_stage(STAGE) == store().folder(STAGE)
    other.copy_stage_from(STAGE, store().folder(STAGE))
    assert other.is_done(STAGE)
    (store().folder(STAGE) / "rows.json").write_text("[")
    assert other.find_reusable_stage(STAGE) is None and "damaged" in said[0]
