"""How long a plan takes, from speeds that earlier runs left."""

import dataclasses

import numpy as np
import pytest

from imjax.data.pack import PackedDataset, Split
from imjax.data.splits import ImageCounts
from imjax.data.synthetic import scenes
from imjax.pipeline import runner, speeds, trial
from imjax.pipeline.count_steps import count_image_range
from imjax.pipeline.plan import make_plan
from imjax.pipeline.speeds import Speed, SpeedStore, describe_time, estimate_time
from imjax.training.progress import Measured, Progress, StageLogger

COUNTS = ImageCounts(24, 216)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(speeds, "describe_device", lambda: "2 cores of a processor")
    return SpeedStore(tmp_path / "speeds", (0, 64, 64))


@pytest.fixture
def stages(demo_config):
    return make_plan(demo_config)


def test_without_a_speed_there_is_no_estimate(store, stages):
    assert estimate_time(stages, COUNTS, store) is None
    assert "--measure" in describe_time(stages, COUNTS, store) and not store.folder.exists()
    assert describe_time(stages, None, store) == "Time: not known without the data."


def test_the_speed_of_a_stage_counts_for_stages_like_it(store, stages):
    by_name = {stage.name: stage for stage in stages}
    store.write(by_name["train_ldt"], Speed(100.0, 5.0, 2.0))
    # The same net, batch and number of nets, on other images.
    assert store.find(by_name["train_aldt"]) == (100.0, 5.0, 2.0)
    assert store.find(by_name["train_g1"]) is None  # a wider net
    assert dataclasses.replace(store, size=(0, 128, 128)).find(by_name["train_ldt"]) is None
    # A stage that was stopped does not replace what a whole one left.
    store.write(by_name["train_aldt"], Speed(90.0, 1.0, 1.0), replace=False)
    assert store.find(by_name["train_ldt"]) == (100.0, 5.0, 2.0)
    store.write(by_name["train_aldt"], Speed(90.0, 1.0, 1.0))
    assert store.find(by_name["train_ldt"]) == (90.0, 1.0, 1.0)


def test_an_estimate_by_hand(store, stages):
    by_name = {stage.name: stage for stage in stages}
    store.write(by_name["train_ldt"], Speed(100.0, 5.0, 2.0))
    store.write(by_name["label_g0"], Speed(24.0, 0.0, 0.0))
    found = estimate_time(stages, COUNTS, store)
    trained = [stage for stage in stages if stage.name.startswith(("train", "evalnet"))]
    images = [count_image_range(stage, stages, COUNTS) for stage in trained]
    # Both labeling stages are alike, and take 240 images / 24 images/s. Three programs are compiled: of the
    # nets of this width, of the wider ones, and of EvalNets.
    rest = 2 * len(trained) + 3 * 5 + 20
    assert found.low == pytest.approx(sum(low for low, _ in images) / 100 + rest)
    assert found.high == pytest.approx(sum(high for _, high in images) / 100 + rest)
    # EvalNets and the wider nets; making EvalNets' pairs.
    assert (found.borrowed, found.left_out) == (2, 1)
    text = describe_time(stages, COUNTS, store)
    assert "2 cores of a processor" in text and "2 of 8 stages" in text
    # A cross-validation of four folds and the final nets.
    single, five = (describe_time(stages[:1], COUNTS, store, runs).split(",")[0] for runs in (1, 5))
    assert (single, five) == ("Time: about 31 s", "Time: about 3 min")


def test_the_number_of_pairs_makes_a_range(store, stages, monkeypatch):
    store.write(stages[0], Speed(10.0, 0.0, 0.0))
    monkeypatch.setattr(speeds, "count_image_range", lambda *_: (600, 6000))
    assert "Time: about 60 s to 10 min, by the number of pairs" in describe_time(stages[:1], COUNTS, store)


def test_a_cache_that_cannot_be_read_or_written_is_no_error(store, stages):
    store.folder.parent.mkdir(exist_ok=True)
    store.folder.write_text("a file")
    store.write(stages[0], Speed(1.0, 1.0, 1.0))
    assert store.find(stages[0]) is None


def test_the_speed_that_a_stage_leaves_is_without_its_compilation():
    now = [0.0]
    progress = Progress("stage", 0, 10, 4, clock=lambda: now[0])
    assert progress.measured() is None
    for step, now[0] in ((1, 50.0), (2, 51.0), (5, 54.0)):
        progress.update(step, 0)
    now[0] = 90.0
    assert progress.measured() == (4.0, 50.0, 54.0)


def test_a_trial_stops_some_seconds_after_the_first_step():
    times = iter([0, 60, 61, 70, 74, 76, 77])
    stopping = trial._make_stopping(lambda: next(times))
    # Before the stage, and after steps of which the first took a minute to compile.
    assert [stopping() for _ in range(7)] == [False] * 5 + [True] * 2


def test_a_run_keeps_the_speeds_of_its_stages(store, stages, monkeypatch):
    monitor = StageLogger.__new__(StageLogger)
    monitor.measured = Measured(50.0, 30.0, 60.0)
    splits = {
        name: Split(np.zeros((count, 2, 2, 3), np.uint8), np.zeros((count, 2, 2), np.uint8), (), ())
        for name, count in COUNTS._asdict().items()
    }
    dataset = PackedDataset(scenes.SPEC, {}, splits)
    by_name = {stage.name: stage for stage in stages}
    monkeypatch.setattr(runner.time, "monotonic", lambda: 64.0)
    runner._keep_speed(store, by_name["train_ldt"], dataset, monitor, 18.0)
    runner._keep_speed(store, by_name["label_g0"], dataset, monitor, 52.0)
    assert store.find(by_name["train_ldt"]) == (50.0, 12.0, 4.0)
    assert store.find(by_name["label_g0"]) == (20.0, 0.0, 0.0)
