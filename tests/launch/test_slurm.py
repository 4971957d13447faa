"""Sweeps over a real Slurm: `bash tests/launch/slurm.sh` starts one on this machine and runs these tests."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch import run_status
from launch.grid import make_points

ROOT = Path(__file__).parents[2]
CONFIG = "configs/demo.py:tiny"
# Epochs enough to be stopped in, and as little as can be of all else.
SETTINGS = ["method=ldt", "baselines=()", "data.height=32", "data.width=32", "data.synthetic.num_train=40"]
SETTINGS += ["train.epochs=24", "train.steps_per_epoch=4"]


def answers():
    if not shutil.which("squeue"):
        return False
    return subprocess.run(["squeue"], capture_output=True, timeout=60).returncode == 0


pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(not answers(), reason="no Slurm: bash tests/launch/slurm.sh"),
]


@pytest.fixture
def start(tmp_path, command_environment):
    """Starts the sweep of two tiny runs; whatever is left of it at the end is ended."""
    name, started = f"imjax-{os.getpid()}", []

    def start(*flags):
        command = [sys.executable, "-m", "launch.sweep", f"--config={CONFIG}", "--sweep=seed:0,1"]
        command += [f"--root={tmp_path}", *(f"--set={setting}" for setting in SETTINGS), "--executor=slurm"]
        command += ["--slurm=time=30", "--slurm=cpus_per_task=1", f"--slurm=job_name={name}", *flags]
        pipe = subprocess.PIPE
        started.append(
            subprocess.Popen(command, cwd=ROOT, env=command_environment, stdout=pipe, stderr=pipe, text=True)
        )
        return started[-1]

    yield start
    for sweep in started:
        sweep.kill()
        sweep.communicate()
    subprocess.run(["scancel", f"--name={name}"], check=True)


def until(condition, seconds=240):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.1)


def saved(point):
    """Whether a stage has saved itself: a checkpoint's folder has a number for its name."""
    return any(path.name.isdigit() for path in point.workdir.glob("checkpoints/*/*"))


@pytest.fixture
def points(tmp_path):
    return make_points([CONFIG], ["seed:0,1"], SETTINGS, tmp_path)


def test_jobs_that_are_stopped_go_on_where_they_were(start, points):
    sweep = start()
    until(lambda: all(map(saved, points)) or sweep.poll() is not None)
    sweep.send_signal(signal.SIGINT)
    out, error = sweep.communicate(timeout=60)
    # Ctrl-C ends the watching only.
    assert sweep.returncode == 0 and "the jobs go on by themselves, `scancel" in error, out + error

    again = start()
    seen = ""
    while seen.count(": running as job ") < 2:
        assert (line := again.stdout.readline()), seen + again.stderr.read()
        seen += line
    assert seen.count("submitted before") == 2
    array = re.search(r"for job (\d+)_0", seen)[1]
    # One is sent back by hand; the other hears what Slurm says before it takes a job's place or time away.
    subprocess.run(["scontrol", "requeue", f"{array}_0"], check=True)
    subprocess.run(["scancel", "--signal=USR2", f"{array}_1"], check=True)
    out, error = again.communicate(timeout=400)
    print(seen + out)
    assert again.returncode == 0, out + error
    assert out.count("waiting again") == 2 and out.count("finished after") == 2
    for point in points:
        log = run_status.log_path(point).read_text()
        assert run_status.is_finished(point) and log.count("; give the same command again to go on") == 1, log
        assert " steps, going on from " in log
        print("\n".join(text for text in log.splitlines() if "going on" in text or "stopped" in text))


def test_failed_jobs_are_told_with_their_log(start):
    sweep = start("--set=data.cache=/dev/null/none")
    out, error = sweep.communicate(timeout=200)
    assert sweep.returncode == 1 and out.count("FAILED as FAILED") == 2, out + error
    assert "2 of 2 runs failed" in error and "ended as FAILED" in error and "imjax: /dev/null/none" in error


def test_what_sbatch_refuses_is_one_line(start):
    sweep = start("--slurm=partition=none")
    _, error = sweep.communicate(timeout=60)
    # sbatch itself has spoken before.
    last = error.splitlines()[-1]
    assert sweep.returncode == 2 and last.startswith("imjax: --executor=slurm:") and "partition" in last
