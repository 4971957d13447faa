from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def command(*flags: str, timeout: float = 120) -> subprocess.CompletedProcess:
    """Run to the end, or kill with SIGKILL after so many seconds."""
    line = [sys.executable, "-m", "imjax.prepare", *flags]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=timeout)


def test_write_then_prepare_then_find_again(tmp_path):
    raw, out = f"{tmp_path}/raw", f"{tmp_path}/out"
    assert command("--dataset=camvid", f"--write_synthetic={raw}").returncode == 0
    flags = ("--dataset=camvid", f"--raw={raw}", f"--out={out}", "--size=32,48")
    done = command(*flags)
    assert done.returncode == 0, done.stderr
    assert "unlabeled" in done.stdout and "bicyclist" in done.stdout and "48x32" in done.stdout
    folder = Path(done.stdout.splitlines()[-1].removeprefix("folder: "))
    assert folder.parent == Path(out) and (folder / "manifest.json").is_file()
    assert command(*flags).stdout == done.stdout


@pytest.mark.parametrize(
    ("dataset", "counts"),
    [
        ("isic2018", {"labeled": 3, "unlabeled": 27, "val": 10, "test": 10}),
        # Of 50: round(12.5) for the test, 5 for val, a tenth of the other 33 labeled.
        ("dsb2018", {"labeled": 3, "unlabeled": 30, "val": 5, "test": 12}),
        ("cityscapes", {"labeled": 3, "unlabeled": 27, "val": 10, "test": 10}),
    ],
)
def test_synthetic_stand_in(dataset, counts, tmp_path):
    raw, out = f"{tmp_path}/raw", f"{tmp_path}/out"
    assert command(f"--dataset={dataset}", f"--write_synthetic={raw}").returncode == 0
    flags = (f"--dataset={dataset}", f"--raw={raw}", f"--out={out}", "--test_fraction=0.25")
    done = command(*flags, "--size=32,64")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2].split() == ["images", *map(str, counts.values())]


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
def test_killed_while_it_packs_and_called_again(kills, tmp_path):
    raw, draw = f"{tmp_path}/raw", random.Random(kills)
    assert command("--dataset=camvid", f"--write_synthetic={raw}").returncode == 0

    def flags(out: str) -> tuple[str, ...]:
        return "--dataset=camvid", f"--raw={raw}", f"--out={tmp_path / out}", "--size=256,256"

    def packed(out: str) -> dict[str, bytes]:
        (folder,) = (path.parent for path in (tmp_path / out).glob("*/manifest.json"))
        files = (path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    start = time.monotonic()
    assert command(*flags("whole")).returncode == 0
    took = time.monotonic() - start
    for _ in range(kills):
        # The first third goes into imports.
        with contextlib.suppress(subprocess.TimeoutExpired):
            command(*flags("out"), timeout=draw.uniform(took / 3, took))
    done = command(*flags("out"))
    assert done.returncode == 0, done.stderr
    assert packed("out") == packed("whole")


def test_help_and_mistakes():
    shown = command("--help")
    assert "--raw" in shown.stdout and "original download" in shown.stdout
    for flags, says in (
        ((), "--dataset is missing"),
        (("--dataset=synthetic", "--size=64"), "HEIGHT,WIDTH"),
        (("--dataset=synthetic", "--split=scenes"), "expected 'published'"),
        (("--dataset=suim", "--raw=/no/such/folder"), "/no/such/folder/train_val/images not found"),
    ):
        done = command(*flags)
        assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr
