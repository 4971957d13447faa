"""A second run in a run's folder is refused; the lock of a dead run is removed."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from user_errors import raises_user_error

from imjax import processes
from imjax.errors import ErrorCode
from imjax.pipeline import lock
from imjax.training import distributed

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, pathlib
from imjax.pipeline import lock
with lock.held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of `tmp_path / "run"`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def refusal(workdir, code=ErrorCode.IN_USE):
    with raises_user_error(code, "--workdir") as info, lock.held(workdir):
        pass
    line = str(info.value)
    assert "\n" not in line
    return line


def write(workdir, **changes):
    """A lock as this process would leave it, but for the changes."""
    workdir.mkdir(exist_ok=True)
    owner = lock.Owner(
        platform.node(), os.getpid(), processes.pid_namespace(), processes.start_time(os.getpid()), "t"
    )
    (workdir / "lock.json").write_text(json.dumps(dataclasses.asdict(dataclasses.replace(owner, **changes))))


def is_free(workdir):
    """Whether the lock can be had, and is gone afterwards."""
    with lock.held(workdir):
        assert json.loads((workdir / "lock.json").read_text())["pid"] == os.getpid()
    return not list(workdir.glob("lock*"))


def test_a_live_process_keeps_others_out_and_a_killed_one_does_not(holder, tmp_path):
    line = refusal(tmp_path / "run")
    assert f"process {holder.pid} on {platform.node()}" in line
    assert (tmp_path / "run" / "lock.json").exists()
    holder.kill()
    holder.wait()
    assert is_free(tmp_path / "run")


def test_the_second_run_is_refused_by_the_command(holder, tmp_path, command, tiny):
    code, out, err = command("configs/demo.py:tiny", tmp_path / "run", *tiny)
    assert code == 2 and not out and f"process {holder.pid} on" in err and "Traceback" not in err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["lock.json"]


def test_a_number_that_went_to_another_process(tmp_path):
    write(tmp_path, started="before")
    assert is_free(tmp_path)
    write(tmp_path)
    assert f"process {os.getpid()} on" in refusal(tmp_path)


@pytest.mark.parametrize("owner", [{"host": "elsewhere"}, {"pid_namespace": "of a container"}])
def test_a_process_elsewhere_is_known_by_its_heartbeat(owner, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(lock, "WATCH_SECONDS", 30)
    write(tmp_path, **owner)
    stop = threading.Event()
    heartbeat = threading.Thread(
        target=lock._send_heartbeats, args=(tmp_path / "lock.json", stop), daemon=True
    )
    heartbeat.start()
    refusal(tmp_path)
    stop.set()
    heartbeat.join()
    monkeypatch.setattr(lock, "WATCH_SECONDS", 0.2)
    assert is_free(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"pid": "x"}', '{"other": 1}'])
def test_a_damaged_lock_without_a_heartbeat_is_removed(text, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(lock, "WATCH_SECONDS", 0.1)
    (tmp_path / "lock.json").write_text(text)
    assert is_free(tmp_path)


def test_of_two_that_find_it_dead_one_gets_it(tmp_path, monkeypatch):
    write(tmp_path, started="before")
    is_alive = lock._is_owner_alive

    def overtaken(path, owner):
        verdict = is_alive(path, owner)
        # Between the check and the removal another run takes the lock.
        if owner.started == "before":
            write(tmp_path, token="of another")
        return verdict

    monkeypatch.setattr(lock, "_is_owner_alive", overtaken)
    assert f"process {os.getpid()} on" in refusal(tmp_path)
    assert json.loads((tmp_path / "lock.json").read_text())["token"] == "of another"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_lock_goes_with_an_error_too(tmp_path):
    with pytest.raises(ValueError, match="inside"), lock.held(tmp_path):
        raise ValueError("inside")
    assert is_free(tmp_path)


def test_a_run_whose_lock_was_taken_away_leaves_the_new_one(tmp_path):
    with lock.held(tmp_path):
        write(tmp_path, token="of another")
    assert (tmp_path / "lock.json").exists()


def test_other_processes_of_the_run_hear_of_the_refusal(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "is_first", lambda: False)
    monkeypatch.setattr(distributed, "broadcast_from_first", lambda value: ["taken", "in_use", "--workdir"])
    assert refusal(tmp_path) == "taken"
    monkeypatch.setattr(distributed, "broadcast_from_first", lambda value: None)
    with lock.held(tmp_path):
        assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    refusal(tmp_path / "file", ErrorCode.UNWRITABLE)


def test_processes():
    assert processes.is_running(os.getpid()) and not processes.is_running(0)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not processes.is_running(ended.pid) and processes.start_time(ended.pid) == ""
