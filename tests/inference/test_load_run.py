"""Which stage of a run's folder predicts, and what is read of it."""

import json

import numpy as np
import pytest
from handmade import SPECS, make_run
from user_errors import raises_user_error

from imjax.errors import ErrorCode
from imjax.inference.load_run import load_model
from imjax.training.checkpoints import load_nets

STAGES = ("train_fdt", "train_ldt", "train_g0", "train_g1")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run", SPECS["binary"], STAGES, method="im_p")


@pytest.fixture
def record(run):
    """Changes config.json for one test."""
    path, text = run / "config.json", (run / "config.json").read_text()

    def change(function):
        values = json.loads(text)
        function(values)
        path.write_text(json.dumps(values))

    yield change
    path.write_text(text)


def undone(run, *names):
    for folder in (run / "stages").iterdir():
        if folder.name[3:] in names:
            (folder / "DONE.json").rename(folder / "later")


@pytest.fixture
def unfinished(run):
    """Takes stages' DONE.json away for one test."""
    yield lambda *names: undone(run, *names)
    for path in (run / "stages").glob("*/later"):
        path.rename(path.with_name("DONE.json"))


def test_the_last_stage_of_the_method(run, unfinished):
    found = load_model(run)
    # IM+ grows: the second generation is the second width. Ranks are those of train.json.
    assert (found.name, found.model.width, found.ranked, found.size) == ("train_g1", 2.0, (1, 0), (8, 8))
    unfinished("train_g1")
    assert load_model(run).model.width == 1.0
    unfinished("train_g0")
    assert load_model(run).name == "train_ldt"
    unfinished("train_ldt")
    # What is left is a baseline's.
    with raises_user_error(ErrorCode.MISSING, run / "stages"):
        load_model(run)
    assert load_model(run, "train_fdt").name == "train_fdt"
    usual = load_model(run, "train_fdt").runtime.batch_size
    assert load_model(run, "train_fdt", usual + 1).runtime.batch_size == usual + 1


def test_best_nets_come_first(run):
    stage = load_model(run, "train_ldt")
    leaf = lambda tree: next(iter(np.asarray(x) for x in tree["params"]["Stage_0"]["Conv_0"].values()))  # noqa: E731
    saved = leaf(load_nets(stage.weights))
    np.testing.assert_array_equal(leaf(stage.nets(2)), saved[::-1])
    np.testing.assert_array_equal(leaf(stage.nets(1)), saved[1:])


def test_unknown_stage(run):
    with raises_user_error(ErrorCode.UNKNOWN, "stage"):
        load_model(run, "train_g7")


def test_other_runs_are_refused_in_one_line(run, record, tmp_path):
    record(lambda values: values["config"]["mask"].update(shape="round"))
    with raises_user_error(ErrorCode.UNSUPPORTED, run / "config.json"):
        load_model(run)
    record(lambda values: values["config"].update(method="magic"))
    with raises_user_error(ErrorCode.UNSUPPORTED, run / "config.json"):
        load_model(run)
    with raises_user_error(ErrorCode.UNREADABLE, tmp_path / "config.json"):
        load_model(tmp_path)


def list_files(folder):
    return [path.relative_to(folder.parent).as_posix() for path in folder.rglob("*") if path.is_file()]


def test_one_wrong_bit_in_any_file_of_the_nets_is_noticed(tmp_path):
    run = make_run(tmp_path / "run", SPECS["binary"], ("train_ldt",), nets=1)
    stage = run / "stages" / "00_train_ldt"
    for name in [*list_files(stage / "nets"), "train.json"]:
        content = (stage / name).read_bytes()
        if content:
            (stage / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            with raises_user_error(ErrorCode.DAMAGED, name):
                load_model(run)
            (stage / name).write_bytes(content)
    # What predictions do not read may be absent from a copy.
    done = json.loads((stage / "DONE.json").read_text())
    done["files"]["panels.npz"] = "0" * 64
    (stage / "DONE.json").write_text(json.dumps(done))
    assert load_model(run).name == "train_ldt"
    (stage / "DONE.json").write_text('{"digest": "d"}')
    with raises_user_error(ErrorCode.DAMAGED, stage / "DONE.json"):
        load_model(run)


def test_damaged_nets_and_ranking(tmp_path):
    run = make_run(tmp_path / "run", SPECS["binary"], ("train_ldt",), nets=1)
    stage = load_model(run)
    stage.weights.rename(tmp_path / "nets")
    with raises_user_error(ErrorCode.UNREADABLE, "00_train_ldt/nets"):
        stage.nets(1)
    with raises_user_error(ErrorCode.DAMAGED, sorted(list_files(tmp_path / "nets"))[0]):
        load_model(run)
    (tmp_path / "nets").rename(stage.weights)
    (stage.weights.parent / "train.json").write_text("{}")
    with raises_user_error(ErrorCode.DAMAGED, "00_train_ldt/train.json"):
        load_model(run)
