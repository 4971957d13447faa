"""The package as a library: what importing it does, and training and loading from Python."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from user_errors import raises_user_error

import imjax
from configs import demo as demo_file
from imjax.config.convert import freeze
from imjax.errors import ErrorCode

ROOT = Path(__file__).parents[1]

IMPORT = """
import logging, os, signal, sys
before = dict(os.environ), signal.getsignal(signal.SIGTERM), list(logging.root.handlers)
import imjax
assert (dict(os.environ), signal.getsignal(signal.SIGTERM), list(logging.root.handlers)) == before
heavy = {"jax", "flax", "numpy", "absl", "ml_collections", "tensorflow", "matplotlib", "cv2"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert {"train", "load", "get_config", "TrainedModel", "__version__"} <= set(dir(imjax))
"""

USE = """
import logging, os, signal, sys
# Other libraries set variables of their own when they are imported.
import cv2, jax
variables, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
import imjax
names = [name for name in imjax.__all__ if name != "get_config"]
assert all(getattr(imjax, name) for name in names)
assert imjax.list_methods() and imjax.list_datasets()
assert dict(os.environ) == variables and signal.getsignal(signal.SIGTERM) is handler
assert not logging.getLogger("imjax").handlers
assert not {"tensorflow", "imjax.main", "imjax.predict", "imjax.cli"} & set(sys.modules)
from absl import flags
assert not [m for m in flags.FLAGS.flags_by_module_dict() if m.startswith(("imjax", "ml_collections"))]
assert not flags.FLAGS.is_parsed()
try:
    imjax.train({"seed": 1}, "/no/such/folder")
except Exception as error:
    assert str(error).startswith("config is a dict; expected what imjax.get_config gives"), error
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized()
"""

TRAIN = """
import json, os, signal, sys
import imjax
from configs import demo
from imjax.config.convert import freeze
workdir, frozen = sys.argv[1], sys.argv[2] == "frozen"
config = demo.get_config("tiny")
config.method, config.baselines = "ldt", ()
config.data.synthetic.update(num_train=24, num_val=4, num_test=4)
config.train.update(epochs=1, steps_per_epoch=2)
before = os.environ.get("XLA_FLAGS"), signal.getsignal(signal.SIGTERM), list(sys.argv)
run = imjax.train(freeze(config.to_dict()) if frozen else config, workdir)
assert (os.environ.get("XLA_FLAGS"), signal.getsignal(signal.SIGTERM), list(sys.argv)) == before
model = imjax.load(run.workdir)
prediction = model.predict(__import__("numpy").zeros((20, 30, 3), "uint8"))
print(json.dumps([str(run.workdir), str(run.report), run.table, model.name, prediction.mask.shape]))
"""


def python(code, *words, env=None):
    line = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done


def test_importing_has_no_side_effects():
    python(IMPORT)


def test_using_the_names_has_none_either(command_environment):
    done = python(USE, env=command_environment)
    assert not done.stdout


def test_unknown_names():
    with pytest.raises(AttributeError, match="'imjax' has no attribute 'nothing'"):
        _ = imjax.nothing


def test_methods_and_datasets():
    assert {"ldt", "aim_pp", "simeps"} <= set(imjax.list_methods())
    assert {"suim", "folder", "synthetic"} <= set(imjax.list_datasets())


@pytest.fixture(scope="module")
def trained(quick_environment, tmp_path_factory):
    """A run of a moment, twice in one folder, and what it printed."""
    workdir = tmp_path_factory.mktemp("api") / "run"
    first = python(TRAIN, workdir, "values", env=quick_environment)
    results = (workdir / "results.csv").read_bytes()
    again = python(TRAIN, workdir, "frozen", env=quick_environment)
    assert again.stdout == first.stdout and (workdir / "results.csv").read_bytes() == results
    return workdir, json.loads(first.stdout)


def test_training_leaves_a_run_as_the_command_does(trained):
    workdir, (folder, report, table, stage, shape) = trained
    assert (folder, report, stage) == (str(workdir), str(workdir / "report.html"), "train_ldt")
    assert shape == [20, 30] and "ldt" in table and Path(report).is_file()
    record = json.loads((workdir / "config.json").read_text())
    assert record["command"] == []
    assert not (workdir / "lock.json").exists()


def test_results_are_a_table(trained):
    workdir, _ = trained
    table = imjax.Run(workdir, workdir / "report.html", "").results
    lines = (workdir / "results.csv").read_text().splitlines()
    assert list(table) == lines[0].split(",") and len(table) == len(lines) - 1
    assert set(table["rank"]) == {1, 2} and table["generation"].isna().all()
    assert table["value"].dtype == "float64" and set(table["method"]) == {"ldt", "ldt_ensemble"}


def test_configurations_that_cannot_work(tmp_path):
    config = demo_file.get_config("tiny")
    config.train.epochs = 0
    for wrong in (config, freeze(config.to_dict())):
        with raises_user_error(ErrorCode.OUT_OF_RANGE, "train.epochs"):
            imjax.train(wrong, tmp_path)
    assert not list(tmp_path.iterdir())
