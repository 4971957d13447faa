"""Runs on this machine: skipping, failing, several at a time, stopping; with stand-ins for the runs."""

import dataclasses
import json
import os
import platform
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from user_errors import raises_user_error

from imjax import processes
from imjax.errors import ErrorCode, Stopped
from imjax.pipeline import lock
from launch import run_status
from launch.executors import local
from launch.grid import make_points

FAKE = Path(__file__).with_name("fake_run.py")
ROOT = Path(__file__).parents[2]
CONFIG = "configs/demo.py:tiny"


def seeds(root, text="0,1,2"):
    return make_points([CONFIG], [f"seed:{text}"], [], root)


def fake_command(how):
    """A stand-in for `runs.command`; `how` is by seed."""

    def command(point, reusable_runs=()):
        config = json.dumps(dataclasses.asdict(point.config))
        behavior = how.get(point.config.seed, "fine")
        return [sys.executable, str(FAKE), str(point.workdir.parent), point.name, config, behavior]

    return command


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    how = {}
    monkeypatch.setattr(run_status, "build_command", fake_command(how))
    return how


def events(root):
    return (root / "events").read_text().splitlines()


def test_one_at_a_time_and_finished_ones_are_skipped(tmp_path, fake, capsys):
    assert local.run_sweep(seeds(tmp_path, "0,1")) == []
    assert [line.split()[:2] for line in events(tmp_path)] == [
        ["start", "demo-tiny-seed=0"],
        ["end", "demo-tiny-seed=0"],
        ["start", "demo-tiny-seed=1"],
        ["end", "demo-tiny-seed=1"],
    ]
    assert "2/2 demo-tiny-seed=1: finished after" in capsys.readouterr().out
    assert local.run_sweep(seeds(tmp_path)) == []
    assert len(events(tmp_path)) == 6 and capsys.readouterr().out.count("finished before") == 2


def test_failed_runs_are_told_and_tried_again(tmp_path, fake):
    fake[1] = "fail"
    points = seeds(tmp_path)
    failed = local.run_sweep(points)
    assert failed == [points[1]] and run_status.is_finished(points[2])
    text = run_status.summarize_failures(failed, 3)
    assert "1 of 3 runs failed" in text and "the line that says what is wrong" in text
    fake[1] = "fine"
    assert local.run_sweep(points) == [] and len(events(tmp_path)) == 5 + 2


def test_each_gpu_has_one_run_at_a_time(tmp_path, fake, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    # The first holds its GPU until the others, one after the other, are through on the other one.
    fake[0] = "last"
    points = seeds(tmp_path)
    assert local.run_sweep(points) == []
    on = [line.split()[1:] for line in events(tmp_path) if line.startswith("start")]
    assert sorted(on) == [[points[0].name, "4"], [points[1].name, "7"], [points[2].name, "7"]]


def test_a_run_that_somebody_stops_stops_the_sweep(tmp_path, fake):
    fake[0] = "stopped"
    with pytest.raises(Stopped, match="in demo-tiny-seed=0"):
        local.run_sweep(seeds(tmp_path))
    assert len(events(tmp_path)) == 1


def test_more_jobs_than_gpus_share_them(tmp_path, fake, monkeypatch):
    # What another test of this process, or the person who runs it, has said of memory.
    for name in [name for name in os.environ if name.startswith("XLA_PYTHON_CLIENT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    places = local._list_places(3)
    assert [place.gpu for place in places] == ["4", "7", "4"]
    # Two on one GPU have half of what runs may have each, also on the one that has a single run.
    expected = {"CUDA_VISIBLE_DEVICES": "7", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.425"}
    assert places[1].environment() == expected
    assert local._list_places(2)[0].environment() == {"CUDA_VISIBLE_DEVICES": "4"}
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    assert places[1].environment() == {"CUDA_VISIBLE_DEVICES": "7"}
    assert local.run_sweep(seeds(tmp_path), jobs=3) == []
    starts = [line.split()[1:] for line in events(tmp_path) if line.startswith("start")]
    assert sorted(gpu for _, gpu in starts) == ["4", "4", "7"]


def test_jobs_are_not_negative():
    with raises_user_error(ErrorCode.OUT_OF_RANGE, "--jobs"):
        local.run_sweep([], jobs=-1)


def test_runs_that_share_their_first_stage_do_not_start_together(tmp_path, fake):
    # IM++ and AIM++ grow from the same start: of two at a time, one of each seed.
    points = make_points(
        ["configs/suim_im_pp.py:tiny", "configs/suim_im.py:tiny"], ["seed:0,1"], [], tmp_path
    )
    begin = [run_status.first_stage_key(point) for point in points]
    assert begin[0] == begin[1] != begin[2] == begin[3]
    going = [local._ActiveRun(points[0], None, local._Place(None))]
    assert local._choose_next(points[1:], going) == points[2]
    assert local._choose_next(points[1:2], going) == points[1]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_stopping_the_sweep_lets_its_runs_save_themselves(tmp_path, name):
    script = textwrap.dedent(f"""
        import signal, sys
        # Whoever runs the tests in the background has it ignored, which is inherited.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.path[:0] = [{str(FAKE.parent)!r}, {str(FAKE.parents[1])!r}]
        from test_local import fake_command
        from imjax import cli
        from launch import run_status, sweep
        run_status.build_command = fake_command({{0: "slow", 1: "slow"}})
        sweep.define_flags()
        cli.run(sweep.main, positional=True)
    """)
    arguments = [f"--config={CONFIG}", "--sweep=seed:0,1,2", "--jobs=2", f"--root={tmp_path}"]
    sweep = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=FAKE.parents[2], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=dict(os.environ, CUDA_VISIBLE_DEVICES=""),
    )  # fmt: skip
    points = seeds(tmp_path)
    limit = time.monotonic() + 60
    while not all((p.workdir / "waiting").exists() for p in points[:2]) and time.monotonic() < limit:
        time.sleep(0.02)
    sweep.send_signal(getattr(signal, name))
    try:
        out, error = sweep.communicate(timeout=60)
    finally:
        for point in points[:2]:
            # Where the sweep has not, so that no test leaves a run behind.
            (point.workdir / "end").touch()
        sweep.kill()
    assert sweep.returncode == 130 and "give the same command again" in error
    assert out.count("stopped after") == 2 and not points[2].workdir.exists()
    assert all((p.workdir / "saved").exists() for p in points[:2])


KILLED = """
import dataclasses, json, pathlib, sys
sys.path.insert(0, "tests/launch")
from test_local import FAKE, fake_command, seeds
from launch import run_status
from launch.executors import local
run_status.build_command = fake_command({0: "slow"})
local.run_sweep(seeds(pathlib.Path(sys.argv[1]), "0"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_the_runs_of_a_killed_sweep_save_themselves_and_end(tmp_path):
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    sweep = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, env=environment)
    folder = tmp_path / "demo-tiny-seed=0"
    wait_for(folder / "waiting")
    sweep.kill()
    sweep.wait()
    wait_for(folder / "saved")


def wait_for(path, seconds=60):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.02)


@pytest.mark.parametrize("finishes", [True, False])
def test_a_run_that_another_process_makes_is_waited_for(finishes, tmp_path, fake, capsys, monkeypatch):
    point, other = seeds(tmp_path, "0,1")
    point.workdir.mkdir(parents=True)
    holder = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = lock.Owner(
        platform.node(), holder.pid, processes.pid_namespace(), processes.start_time(holder.pid), "t", "noon"
    )
    (point.workdir / "lock.json").write_text(json.dumps(dataclasses.asdict(owner)))
    if finishes:
        settings = {"config": dataclasses.asdict(point.config)}
        (point.workdir / "config.json").write_text(json.dumps(settings))

    def end():
        (point.workdir / "report.html").touch() if finishes else None
        holder.communicate(b"\n")

    threading.Timer(1, end).start()
    assert local.run_sweep([point, other]) == []
    shown = capsys.readouterr().out
    assert f"elsewhere as process {holder.pid} on {platform.node()}, since noon" in shown
    started = [line.split()[1] for line in events(tmp_path) if line.startswith("start")]
    # Nothing is called failed; where the other process did not come to its end, the run is taken up.
    assert sorted(started) == ([other.name] if finishes else sorted([point.name, other.name]))
