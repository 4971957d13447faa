"""Checkpoints whose files are damaged: the one before, or a new start, and a line that says so."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from imjax.training import checkpoints
from imjax.training.checkpoints import Checkpoints
from imjax.training.ensemble_parallel import Members

MEMBERS = Members(2)
# The first is large enough to be compressed and kept in a file of its own.
LARGE = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)
STATE = {"w": LARGE, "n": np.arange(2, dtype=np.int32)}
# tensorstore reports what is left of a failed reading to an event loop that orbax has closed by then.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Checkpoints after steps 3, 6 and 9, in which every number is that of the step before plus 1."""
    folder = tmp_path_factory.mktemp("original") / "stage"
    checkpoints = Checkpoints(folder)
    for step in (3, 6, 9):
        checkpoints.save(step, MEMBERS, MEMBERS.shard(after(step)), wait=True)
    checkpoints.close()
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "stage")


def shapes(state):
    """Of one of the two members."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), state)


def after(step):
    return {name: (value + step).astype(value.dtype) for name, value in STATE.items()}


def restored(folder):
    """The step that is gone on from; what is restored must be what was saved then."""
    checkpoints = Checkpoints(folder)
    try:
        step, chunks = checkpoints.restore(MEMBERS, lambda: shapes(STATE))
        assert (step == 0) == (chunks is None)
        for name, value in MEMBERS.gather(chunks).items() if chunks else ():
            np.testing.assert_array_equal(value, after(step)[name])
            assert value.dtype == STATE[name].dtype
        # And it goes on: the step that was damaged can be saved again.
        checkpoints.save(9, MEMBERS, MEMBERS.shard(after(9)), wait=True)
    finally:
        checkpoints.close()
    return step


def test_saves_take_a_tenth_of_the_time_at_most(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    members, state = Members(2), MEMBERS.shard(STATE)
    gather = members.gather

    def slowly(chunks):
        now[0] += 0.5
        return gather(chunks)

    monkeypatch.setattr(members, "gather", slowly)
    saved, taken = Checkpoints(tmp_path), []
    # The first takes from 100 to 100.5: the next is taken 5 seconds after that, and not before.
    for step, moment in ((1, 100.0), (2, 105.4), (3, 105.5), (4, 110.9)):
        now[0] = moment
        saved.maybe_save(step, members, state)
        taken.append(saved._saved)
    # What somebody asks for is saved at once.
    saved.save(5, members, state)
    saved.close()
    assert [*taken, saved._saved] == [1, 1, 3, 3, 5]


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def largest(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


CHILD = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from imjax.training import checkpoints
from imjax.training.checkpoints import Checkpoints
from imjax.training.ensemble_parallel import Members

members, checkpoints = Members(2), Checkpoints(Path(sys.argv[1]))
for step in (3, 6):
    state = {"w": np.full((2, 2000, 1000), step, np.float32), "n": np.full(2, step, np.int32)}
    checkpoints.save(step, members, members.shard(state), wait=step == 3)
time.sleep(float(sys.argv[2]))
os.kill(os.getpid(), signal.SIGKILL)
"""
"""Saves a step wholly, begins to save another, and is killed a moment later."""


@pytest.mark.parametrize("seconds", ["0", "0.02", "0.1"])
def test_killed_while_a_checkpoint_is_written(seconds, tmp_path):
    line = [sys.executable, "-c", CHILD, str(tmp_path / "stage"), seconds]
    done = subprocess.run(line, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    checkpoints = Checkpoints(tmp_path / "stage")
    try:
        like = {"w": np.zeros((2, 2000, 1000), np.float32), "n": np.zeros(2, np.int32)}
        step, chunks = checkpoints.restore(MEMBERS, lambda: shapes(like))
        assert step in (3, 6) and all((leaf == step).all() for leaf in MEMBERS.gather(chunks).values())
        checkpoints.save(9, MEMBERS, chunks, wait=True)
    finally:
        checkpoints.close()


def test_the_newest_two_are_kept(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["6", "9"]
    assert restored(folder) == 9


@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.unlink()], ids=["cut", "flipped", "gone"])
def test_damaged_arrays_go_back_to_the_step_before(damage, folder, said):
    damage(largest(folder / "9"))
    assert restored(folder) == 6
    (line,) = said
    assert f"{folder / '9'}: damaged" in line and "going back to step 6" in line and "\n" not in line
    assert restored(folder) == 9


@pytest.mark.parametrize("name", ["manifest.ocdbt", "_METADATA"])
def test_damaged_tables_of_contents_do_too(name, folder):
    cut(folder / "9" / "default" / name)
    assert restored(folder) == 6


def test_nothing_whole_is_a_new_start(folder, said):
    for step in ("6", "9"):
        cut(largest(folder / step))
    assert restored(folder) == 0
    assert "going back to step 6" in said[0] and "the stage starts anew" in said[1]
    assert restored(folder) == 9


def test_another_net_s_checkpoint_is_no_checkpoint(folder, said):
    checkpoints = Checkpoints(folder)
    other = {"w": np.zeros((2, 64), np.float32), "n": STATE["n"]}
    step, _ = checkpoints.restore(MEMBERS, lambda: shapes(other))
    checkpoints.close()
    assert step == 0 and "other arrays than the net has" in said[0]
