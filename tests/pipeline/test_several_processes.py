"""A run by two processes of two devices each: the numbers of one process, stopping and going on together."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Three members: two for the first process, one and a repetition for the second. A small net and no
# optimization by the compiler, which takes most of such a run's time.
FLAGS = [
    "--config=configs/demo.py:tiny",
    "--config.method=im",
    "--config.baselines=()",
    "--config.generations=1",
    "--config.num_baseline_nets=3",
    "--config.num_nets=3",
    "--config.model.backbone=unet_dropout",
    "--config.model.features=(8,)",
    "--config.model.dropouts=(0.1,)",
    "--config.model.width=1.0",
    "--config.data.height=32",
    "--config.data.width=32",
    "--config.data.synthetic.num_train=40",
    "--config.train.epochs=2",
    "--config.train.steps_per_epoch=5",
    "--config.train.batch_size=2",
]
XLA = "--xla_force_host_platform_device_count=2"


@pytest.fixture
def run(quick_environment):
    """Starts `imjax.main` as so many processes."""
    started = []

    def start(workdir, count=1):
        flags = f"{quick_environment['XLA_FLAGS']} {XLA}"
        environment = quick_environment | {"XLA_FLAGS": flags, "JAX_NUM_PROCESSES": str(count)}
        if count > 1:
            environment["JAX_COORDINATOR_ADDRESS"] = f"127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "imjax.main", *FLAGS, f"--workdir={workdir}"]
        pipe = subprocess.PIPE
        ours = [
            subprocess.Popen(
                command, cwd=ROOT, env=environment | {"JAX_PROCESS_ID": str(number)},
                stdout=pipe, stderr=pipe, text=True,
            )
            for number in range(count)
        ]  # fmt: skip
        started.extend(ours)
        return ours

    yield start
    for process in started:
        process.kill()
        process.communicate()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def ends(processes):
    """What each process says, stdout and stderr; all must end well."""
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return said


def test_two_processes_give_the_numbers_of_one(tmp_path, run):
    (alone,) = ends(run(tmp_path / "one"))
    processes = run(tmp_path / "two", 2)
    while "train_ldt: 10 steps" not in (line := processes[0].stderr.readline()):
        assert line, "the first process ended"
    # The one that does not write hears that it is to stop: both do, when they ask one another next.
    processes[1].send_signal(signal.SIGTERM)
    for _, error in ends(processes):
        assert "imjax: stopped: saved stage train_ldt at step 8 of 10" in error

    first, second = ends(run(tmp_path / "two", 2))
    assert "10 steps, going on from 8" in first[1]
    # One voice.
    assert "miou" not in second[0] and "stage" not in second[1]
    assert (tmp_path / "two/results.csv").read_bytes() == (tmp_path / "one/results.csv").read_bytes()
    # The second process left nothing in the run's folder, and nothing is written twice.
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("one", "two")]
    assert lines[0] == lines[1]
