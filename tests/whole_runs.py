"""Whole runs through the command, on two CPU devices as on a two-core machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from configs import demo as demo_file
from imjax.config.convert import freeze

ROOT = Path(__file__).parents[1]
COUNTS = {"train": 60, "val": 8, "test": 12}
SMALL_IMAGES = ("--config.data.height=32", "--config.data.width=32")
"""Of runs without an EvalNet, which needs 64."""
TINY = (
    *(f"--config.data.synthetic.num_{part}={count}" for part, count in COUNTS.items()),
    # A quarter of the preset's: enough to beat chance.
    "--config.train.steps_per_epoch=6",
)


class Command:
    """`python -m imjax.main` in an environment."""

    def __init__(self, environment: dict[str, str]):
        self._environment = environment

    def start(self, config: str, workdir: Path, *flags: str) -> subprocess.Popen:
        """Start a run and return at once."""
        command = [sys.executable, "-m", "imjax.main", f"--config={config}", f"--workdir={workdir}", *flags]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=ROOT, env=self._environment, text=True, **pipes)

    def __call__(self, config: str, workdir: Path, *flags: str) -> tuple[int, str, str]:
        """Run to the end; exit code, stdout, stderr."""
        process = self.start(config, workdir, *flags)
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err


@pytest.fixture(scope="session")
def command(run_environment):
    return Command(run_environment)


@pytest.fixture(scope="session")
def quick_command(quick_environment):
    """The same, compiled quickly."""
    return Command(quick_environment)


@pytest.fixture(scope="session")
def tiny():
    """Flags that make the synthetic set small."""
    return TINY


@pytest.fixture(scope="session")
def demo(command, tmp_path_factory):
    """A finished tiny AIM++ run: its folder and what it printed."""
    workdir = tmp_path_factory.mktemp("demo") / "run"
    code, out, err = command("configs/demo.py:tiny", workdir, *TINY)
    assert code == 0, err
    return workdir, out


@pytest.fixture(scope="session")
def demo_config():
    """The configuration of the demo's smoke run."""
    return freeze(demo_file.get_config("tiny").to_dict())
