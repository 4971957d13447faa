"""What the page knows of its runs: how far they are, when they end, what became of them."""

import json
import time

import pytest
from app_folders import halves, make_folder
from user_errors import raises_user_error

from imjax.app import jobs as jobs_module
from imjax.app.folder_store import FolderStore
from imjax.app.jobs import Jobs
from imjax.app.progress_log import LOG, Position, TimeLeft, describe_failure, read_position
from imjax.errors import ErrorCode


@pytest.fixture
def store(tmp_path):
    return FolderStore(make_folder(tmp_path / "own", {"a.png": halves(0, 255)}))


@pytest.fixture
def jobs(store):
    made = Jobs(store, store.raw / "runs")
    yield made
    made.close()


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Stands for Python: a shell script that jobs start instead of trainings."""

    def make(text):
        path = tmp_path / "command"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o700)
        monkeypatch.setattr(jobs_module.sys, "executable", str(path))

    return make


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_position_of_a_run(tmp_path):
    assert read_position(tmp_path) == Position()
    log = tmp_path / LOG
    log.write_text(
        "04:59:30 stage 1/3 train_ldt: 15 training pairs\n04:59:35 stage 1/3 train_ldt: 150 steps\n"
    )
    assert read_position(tmp_path) == Position("train_ldt", 1, 3, 0, 150)
    metrics = [{"step": step, "stage": "train_ldt", "value": 1.0} for step in (25, 50, 0)]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*map(json.dumps, metrics), '{"step": 75, "sta']))
    position = read_position(tmp_path)
    assert (position.step, position.share) == (50, pytest.approx(50 / 150 / 3))
    with log.open("a") as file:
        file.write("04:59:52 stage 1/3 train_ldt: step 120/150, epoch 4, loss 0.9, 65 images/s, 4 s left\n")
    assert read_position(tmp_path).step == 120
    with log.open("a") as file:
        file.write("05:00:00 stage 2/3 label_g0 generation 0: labeling\n")
    assert read_position(tmp_path) == Position("label_g0", 2, 3)
    assert read_position(tmp_path).share == pytest.approx(1 / 3)


def test_time_left_is_that_of_the_work_and_not_of_compiling():
    now = [0.0]
    left = TimeLeft(lambda: now[0])
    assert left.update(0.0) is None
    now[0] = 100.0  # compiled
    assert left.update(0.1) is None
    now[0] = 110.0
    assert left.update(0.2) == pytest.approx(80)
    now[0] = 130.0
    assert left.update(0.6) == pytest.approx(24)


def test_why_a_run_failed(tmp_path):
    (tmp_path / LOG).write_text("05:00:00 preparing\nimjax: masks/a.png: no mask; draw one\n")
    assert describe_failure(tmp_path / LOG) == "masks/a.png: no mask; draw one"
    (tmp_path / LOG).write_text("Killed\n")
    assert describe_failure(tmp_path / LOG) == "Killed"


def test_a_training_is_started_watched_and_stopped(jobs, command):
    command('echo "$@"; echo "05:00:00 stage 1/2 train_ldt: 10 steps"; exec sleep 60')
    name = jobs.start("quick")
    assert name == "run-001-quick" and jobs.list_names() == [name]
    log = jobs.runs / name / LOG
    wait_for(lambda: jobs.status(name).stage == "train_ldt")
    status = jobs.status(name)
    assert (status.state, status.steps, status.title) == ("running", 10, "Run 1 · Quick test")
    assert f"train --config=folder_ldt:tiny --data={jobs._store.raw} --workdir=" in log.read_text()
    for act in (lambda: jobs.start("quick"), lambda: jobs.predict(name)):
        with raises_user_error(ErrorCode.IN_USE, "run"):
            act()
    process = jobs._process
    jobs.stop(name)
    process.wait()
    jobs.poll()
    assert jobs.status(name).state == "stopped"
    # As another start of the page finds it.
    again = Jobs(jobs._store, jobs.runs)
    assert again.status(name).state == "failed"  # it never came to a configuration
    (jobs.runs / name / "config.json").write_text("{}")
    assert again.status(name).state == "stopped"
    jobs.resume(name)
    assert jobs.status(name).state == "running"


def test_predictions_follow_a_training(jobs, command):
    run = jobs.runs / "run-001-quick"
    command(f'if [ "$2" = imjax.cli ]; then touch "{run}/report.html" "{run}/results.csv"; fi')
    name = jobs.start("quick")
    jobs._process.wait()
    (jobs.runs / name / "config.json").write_text("{}")
    jobs.poll()
    assert jobs.status(name).state == "finished" and jobs.status(name).predicting
    jobs._process.wait()
    jobs.poll()
    assert not jobs.status(name).predicting and jobs._process is None
    command('echo "imjax: other classes"; exit 2')
    jobs.predict(name)
    jobs._process.wait()
    jobs.poll()
    assert (jobs.status(name).state, jobs.status(name).message) == ("finished", "other classes")
    # A run's number is never given twice.
    assert jobs.start("quick") == "run-002-quick"


def test_a_training_goes_on_from_a_finished_run_of_its_kind(jobs, command):
    command('echo "$@"; exec sleep 60')
    earlier = jobs.runs / "run-001-quick"
    earlier.mkdir(parents=True)
    for name in ("config.json", "results.csv"):
        (earlier / name).write_text("{}")
    with raises_user_error(ErrorCode.CONFLICT, "source"):
        jobs.start("quick", earlier.name)  # not finished
    (earlier / "report.html").write_text("")
    with raises_user_error(ErrorCode.CONFLICT, "source"):
        jobs.start("recommended", earlier.name)
    with raises_user_error(ErrorCode.CONFLICT, "source"):
        jobs.start("quick", "../run-001-quick")
    name = jobs.start("quick", earlier.name)
    log = jobs.runs / name / LOG
    wait_for(lambda: f"--from={earlier}" in log.read_text())
    jobs.stop(name)
    jobs._process.wait()
    jobs.poll()
    # To go on with it takes the same command.
    (jobs.runs / name / "config.json").write_text("{}")
    jobs.resume(name)
    wait_for(lambda: log.read_text().count(f"--from={earlier}") == 2)


def test_a_failed_training_says_why(jobs, command):
    command('echo "imjax: not so"; exit 2')
    name = jobs.start("quick")
    jobs._process.wait()
    jobs.poll()
    assert (jobs.status(name).state, jobs.status(name).message) == ("failed", "not so")


def test_only_runs_have_names(jobs):
    for name in ("../own", "", ".", "no"):
        with raises_user_error(ErrorCode.UNKNOWN, "run"):
            jobs.workdir(name)
    (jobs.runs / "<b>").mkdir(parents=True)
    (jobs.runs / "<b>" / "config.json").write_text("{}")
    (jobs.runs / "empty").mkdir()
    assert jobs.list_names() == []
    with raises_user_error(ErrorCode.OUT_OF_RANGE, "preset"):
        jobs.start("--workdir=x")
