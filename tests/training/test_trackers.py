"""Trackers get what TensorBoard gets; the libraries are stand-ins that keep what they get."""

from __future__ import annotations

import json
import math
import sys
import types

import pytest
from user_errors import raises_user_error

from imjax.errors import ErrorCode
from imjax.training import metric_writer, trackers
from imjax.training.metric_writer import Writer


class Recorder:
    """An object whose every method keeps its call; `answers` by name are what they return."""

    def __init__(self, **answers):
        self.calls, self.answers = [], answers

    def __getattr__(self, name):
        def call(*args, **named):
            self.calls.append((name, args, named))
            return self.answers.get(name)

        return call

    def of(self, name):
        return [args or named for called, args, named in self.calls if called == name]


@pytest.fixture
def wandb(monkeypatch):
    run = Recorder()
    run.config = Recorder()
    module = types.ModuleType("wandb")
    module.run, module.starts, module.Settings = run, [], dict
    module.init = lambda **settings: module.starts.append(settings) or run
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


@pytest.fixture
def mlflow(monkeypatch):
    info = types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))
    module = types.ModuleType("mlflow")
    module.client = Recorder(create_experiment="7", create_run=info)
    module.addresses = []
    module.MlflowClient = lambda address: module.addresses.append(address) or module.client
    module.entities = types.SimpleNamespace(Metric=lambda *values: values, Param=lambda *values: values)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return module


def write(workdir, name, monkeypatch):
    """What TensorBoard gets of three scalars: one is of a generation, and one has no value."""
    events = Recorder()
    monkeypatch.setattr(metric_writer, "_events", lambda folder: events)
    writer = Writer(workdir, tracker=trackers.open_tracker(name, workdir))
    writer.hparams({"seed": 3, "baselines": ("ldt",)})
    writer.scalar("train_g1", 1, 10, "val", "loss", 0.5, member=0)
    writer.scalar("train_g1", 1, 20, "test", "miou", 0.7)
    writer.scalar("train_g1", 1, 20, "test", "mcce", math.nan)
    writer.close()
    return [(step, *values.items()) for step, values in events.of("write_scalars")]


SCALARS = [
    (10, ("train_g1/val/loss/0", 0.5)),
    (20, ("train_g1/test/miou", 0.7)),
    (1, ("generations/test/miou", 0.7)),
]


def test_wandb_gets_the_scalars_of_tensorboard(wandb, tmp_path, monkeypatch):
    assert write(tmp_path, "wandb", monkeypatch) == SCALARS
    assert wandb.run.of("log") == [
        ({tag: value, f"{tag.split('/')[0]}/step": step},) for step, (tag, value) in SCALARS
    ]
    assert ("train_g1/*",) in [args for name, args, _ in wandb.run.calls if name == "define_metric"]
    assert wandb.run.config.of("update") == [({"seed": 3, "baselines": "('ldt',)"},)]
    # A run that goes on is the same one there.
    write(tmp_path, "wandb", monkeypatch)
    first, second = (start["id"] for start in wandb.starts)
    assert first == second == json.loads((tmp_path / trackers.FILE).read_text())["wandb"]


def test_mlflow_gets_the_scalars_of_tensorboard(mlflow, tmp_path, monkeypatch):
    assert write(tmp_path, "mlflow", monkeypatch) == SCALARS
    batches = [named for name, _, named in mlflow.client.calls if name == "log_batch"]
    assert batches[0] == {"params": [("seed", "3"), ("baselines", "('ldt',)")]}
    sent = [(step, (tag, value)) for tag, value, _, step in batches[1]["metrics"]]
    assert sent == SCALARS and len(batches) == 2
    assert mlflow.client.of("set_terminated") == [("r1",)]
    assert mlflow.addresses == [f"sqlite:///{tmp_path / 'mlflow.db'}"], "local, and beside the run"
    write(tmp_path, "mlflow", monkeypatch)
    assert len(mlflow.client.of("create_run")) == 1


def test_what_is_not_installed_is_named_before_anything_is_computed(tmp_path, monkeypatch):
    for name in ("wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)
        with raises_user_error(ErrorCode.MISSING, "tracker") as caught:
            trackers.check(name)
        assert f"imjax[{name}]" in str(caught.value)
    trackers.check("none")
    assert trackers.open_tracker("none", tmp_path) is None and not list(tmp_path.iterdir())


def test_a_tracker_that_cannot_start(wandb, tmp_path):
    wandb.init = lambda **settings: 1 / 0
    with raises_user_error(ErrorCode.UNSUPPORTED, "tracker"):
        trackers.open_tracker("wandb", tmp_path)


def test_a_tracker_that_fails_ends_no_run(tmp_path, monkeypatch, said):
    class Broken(Recorder):
        def write_scalars(self, step, values):
            raise ConnectionError("no such server")

    monkeypatch.setattr(metric_writer, "_events", lambda folder: None)
    writer = Writer(tmp_path, tracker=Broken())
    writer.scalar("train_ldt", None, 1, "val", "loss", 0.5)
    writer.scalar("train_ldt", None, 2, "val", "loss", 0.4)
    writer.close()
    assert len([line for line in said if "no such server" in line]) == 1
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
