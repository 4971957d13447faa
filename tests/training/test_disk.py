"""Disks that are full or not to be written, in the middle of a run: one line, and nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest
from user_errors import raises_user_error

from imjax.errors import ErrorCode, Stopped, TrainingError
from imjax.json_io import write_json
from imjax.pipeline import lock
from imjax.training import disk
from imjax.training.checkpoints import Checkpoints
from imjax.training.ensemble_parallel import Members
from imjax.training.metric_writer import Writer

MEMBERS = Members(2)
STATE = {"w": np.random.default_rng(0).normal(size=(2, 128, 128)).astype(np.float32)}
"""128 KiB that do not compress."""
LINE = (
    "finished stages and the last checkpoint are kept: make room or change the permissions, and give the same"
)


@pytest.fixture
def small(tmp_path):
    """A disk of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if not hasattr(os, "geteuid") or os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, left: int) -> Path:
    """A file that leaves so many bytes."""
    ballast = folder / "ballast"
    room = os.statvfs(folder)
    ballast.write_bytes(bytes(room.f_bavail * room.f_bsize - left))
    return ballast


def complaint(workdir: Path):
    @contextlib.contextmanager
    def check():
        expected = raises_user_error(ErrorCode.UNWRITABLE, "--workdir")
        with expected as info, disk.translate_disk_errors(workdir):
            yield
        line = str(info.value)
        assert line.startswith(f"--workdir={workdir}: ") and LINE in line and "\n" not in line, line

    return check()


# The thread in which orbax writes, and tensorstore, tell of the full disk once more.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_keeps_the_checkpoint_before(small, said):
    folder = small / "run" / "stage"
    checkpoints = Checkpoints(folder)
    checkpoints.save(3, MEMBERS, MEMBERS.shard(STATE), wait=True)
    ballast = fill(small, 40_000)
    with complaint(small / "run"):
        try:
            checkpoints.save(6, MEMBERS, MEMBERS.shard(STATE), wait=True)
        finally:
            checkpoints.close()
    ballast.unlink()
    again = Checkpoints(folder)
    step, chunks = again.restore(
        MEMBERS, lambda: jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), STATE)
    )
    np.testing.assert_array_equal(MEMBERS.gather(chunks)["w"], STATE["w"])
    assert step == 3
    again.save(6, MEMBERS, MEMBERS.shard(STATE), wait=True)
    again.close()
    # What the full disk left behind does not fill it up.
    assert sorted(path.name for path in folder.iterdir()) == ["3", "6"]


def test_figures_are_whole_lines_after_a_full_disk(small):
    ballast = fill(small, 0)
    (small / "metrics.jsonl").touch()
    with complaint(small), contextlib.closing(Writer(small, events=False)) as writer:
        for step in range(3000):
            writer.scalar("train_ldt", None, step, "val", "loss", 0.5)
    ballast.unlink()
    with (small / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1, "sta')
    writer = Writer(small, events=False)
    writer.scalar("train_ldt", None, 7, "val", "loss", 0.5)
    writer.close()
    lines = [json.loads(text) for text in (small / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 7


def test_a_file_is_whole_or_as_before_on_a_full_disk(small):
    write_json(small / "train.json", {"ranked": [0]})
    fill(small, 0)
    with complaint(small):
        write_json(small / "train.json", {"ranked": [1] * 10_000})
    assert json.loads((small / "train.json").read_text()) == {"ranked": [0]}


def test_a_read_only_folder_is_refused_at_once(small):
    (small / "run").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    for workdir in (small / "run", small / "new"):
        with raises_user_error(ErrorCode.UNWRITABLE, "--workdir"):
            with lock.held(workdir):
                pass


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_errors_of_disks_become_one_line(number, tmp_path):
    with complaint(tmp_path):
        raise OSError(number, os.strerror(number), str(tmp_path / "file"))


def test_errors_of_libraries_that_come_of_disks_do_too(tmp_path):
    with complaint(tmp_path):
        raise ValueError("INTERNAL: Error writing chunk: [OS error 28: No space left on device]")
    with complaint(tmp_path):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("the save failed") from error


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError(errno.ENOENT, "No such file"), TrainingError("x")]
)
def test_other_errors_stay_what_they_are(error, tmp_path):
    with pytest.raises(type(error)) as info, disk.translate_disk_errors(tmp_path):
        raise error
    assert info.value is error


def test_a_stop_is_no_error_of_a_disk(tmp_path):
    with pytest.raises(Stopped), disk.translate_disk_errors(tmp_path):
        raise Stopped("No space left on device")
