"""Which candidate of a training stage is the best."""

import dataclasses
import json

import numpy as np
import pytest

from imjax.data.pack import PackedDataset, Split
from imjax.data.synthetic import scenes
from imjax.inference.trained_model import TrainedModel
from imjax.pipeline import image_panels, train_stage
from imjax.pipeline.artifacts import ArtifactStore
from imjax.pipeline.plan import make_plan
from imjax.pipeline.rank_candidates import Evaluation
from imjax.training.loop import TrainResult
from imjax.training.metric_writer import Writer
from imjax.training.objective import Objective
from imjax.training.progress import StageLogger
from imjax.training.runtime import Runtime


@pytest.mark.parametrize(("on_test", "order"), [(False, [0, 2, 1]), (True, [1, 0, 2])])
def test_the_metric_ranks_and_not_what_picked_the_epoch(on_test, order, demo_config, monkeypatch, tmp_path):
    # By the monitor candidate 2 is best, on val candidate 0, on test candidate 1.
    fitted = TrainResult(
        {}, np.array([0.1, 0.2, 0.9]), np.array([1, 1, 1]), np.zeros(3, bool), True, 10, 2, 1
    )
    found = {
        split: Evaluation(np.zeros((3, 1, 64, 64), np.uint8), [{("miou", ""): value} for value in values])
        for split, values in (("val", (0.8, 0.1, 0.5)), ("test", (0.3, 0.7, 0.2)))
    }
    for name, value in (
        ("fit_stage", fitted),
        ("measure", found),
        (
            "measure_ensemble",
            {name: Evaluation(e.labels[:1], [{("miou", ""): 0.9}]) for name, e in found.items()},
        ),
        (
            "TrainedModel",
            TrainedModel(
                "train_ldt", scenes.SPEC, demo_config.model, 0, {"w": np.zeros(3)}, (0, 1, 2), Runtime(2)
            ),
        ),
    ):
        monkeypatch.setattr(train_stage, name, lambda *_, value=value, **__: value)
    monkeypatch.setattr(image_panels, "write_training_panels", lambda *_: None)
    split = Split(np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 64, 64), np.uint8), ("a",), ("a",))
    packed = PackedDataset(scenes.SPEC, {}, dict.fromkeys(("labeled", "unlabeled", "val", "test"), split))
    (stage,) = (stage for stage in make_plan(demo_config) if stage.name == "train_ldt")
    stage = dataclasses.replace(stage, select_on_test=on_test)
    store = ArtifactStore(tmp_path, (stage,), [])
    out = store.begin(stage.name)
    monkeypatch.setattr(StageLogger, "scalar", lambda *_: None)
    monkeypatch.setattr(StageLogger, "log", lambda *_: None)
    train_stage.run(stage, packed, store, Runtime(2), StageLogger.__new__(StageLogger))
    facts, rows = (json.loads((out / name).read_text()) for name in ("train.json", "rows.json"))
    assert facts["ranked"] == order and facts["value"] == [0.1, 0.2, 0.9]
    assert [row["value"] for row in rows if row["method"] == "ldt_ensemble"] == [0.9, 0.9]
    ranks = {row["member"]: row["rank"] for row in rows if row["method"] == "ldt"}
    assert sorted(ranks, key=ranks.get) == order


def test_the_table_of_parameters_is_a_file_that_the_log_names(demo_config, said, tmp_path):
    weights = {"params": {"Dense": {"kernel": np.zeros((3, 4)), "bias": np.zeros(4)}}}
    objective = Objective(("dense",), lambda _: weights, {}, lambda *_: {}, "loss", larger_is_better=False)
    store = ArtifactStore(tmp_path, make_plan(demo_config)[:1], [])
    (name,) = (stage.name for stage in make_plan(demo_config)[:1])
    folder = store.begin(name)
    monitor = StageLogger(Writer.__new__(Writer), name, "1/8", None, lambda: False)
    train_stage.write_parameter_table(objective, store, name, monitor)
    place = store.folder(name) / "parameters.txt"
    assert said == [f"stage 1/8 {name}: setting up networks of 16 parameters each, listed in {place}"]
    store.commit(name, folder, {})
    table = place.read_text()
    assert "Dense/kernel" in table and "Dense/bias" in table and store.is_done(name)
