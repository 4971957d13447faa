"""Which stages a run repeats, and what it logs of them; the stages themselves are stand-ins."""

import numpy as np
import pytest

from imjax.data.pack import PackedDataset, Split
from imjax.data.synthetic import scenes
from imjax.pipeline import artifacts, runner
from imjax.pipeline.artifacts import ArtifactStore, shared_inputs
from imjax.pipeline.plan import make_plan
from imjax.training.metric_writer import Writer
from imjax.training.runtime import Runtime


@pytest.fixture
def run(demo_config, tmp_path, monkeypatch):
    """A run of the demo's plan; returns the names of the stages that ran."""
    executed = []

    def stand_in(stage, dataset, artifacts, runtime, monitor):
        executed.append(stage.name)
        (artifacts.folder_in_progress(stage.name) / "rows.json").write_text("[]")
        return {}

    monkeypatch.setattr(runner, "RUN", dict.fromkeys(runner.RUN, stand_in))
    stages = make_plan(demo_config)

    def start(workdir, reusable_runs=()):
        store = ArtifactStore(tmp_path / workdir, stages, shared_inputs(demo_config, "data"), reusable_runs)
        # What an attempt with other code left behind.
        (store.workdir / "checkpoints" / f"{store.label('train_g0')}-00000000").mkdir(parents=True)
        writer = Writer(store.workdir, events=False)
        none = Split(np.zeros((0, 64, 64, 3), np.uint8), np.zeros((0, 64, 64), np.uint8), (), ())
        dataset = PackedDataset(scenes.SPEC, {}, dict.fromkeys(("labeled", "unlabeled"), none))
        runner.run(stages, dataset, store, Runtime.of(demo_config), writer)
        writer.close()
        names, executed[:] = list(executed), []
        left = list((store.workdir / "checkpoints").iterdir())
        for folder in left:
            folder.rmdir()
        return names, left

    return start, [stage.name for stage in stages]


def test_stages_are_repeated_after_a_change_of_the_code_and_the_log_says_why(run, said, monkeypatch):
    start, names = run
    assert start("run") == (names, [])
    said.clear()
    assert start("run")[0] == []
    assert said == [f"stage {i}/8 {name}: already done" for i, name in enumerate(names, 1)]
    said.clear()
    monkeypatch.setattr(artifacts, "source_digest", lambda: "other code")
    assert start("run") == (names, [])
    assert [line for line in said if "outdated" in line] == [
        f"stage {i}/8 {name}: outdated, because the code of imjax changed" for i, name in enumerate(names, 1)
    ]
    assert start("run")[0] == []


def test_stages_of_another_run_are_copied_with_their_metrics(run, said, tmp_path):
    start, names = run
    start("first")
    said.clear()
    assert start("second", [tmp_path / "first"])[0] == []
    assert said == [
        f"stage {i}/8 {name}: copied from {tmp_path / 'first' / 'stages' / f'{i - 1:02d}_{name}'}"
        for i, name in enumerate(names, 1)
    ]
