"""How the time of a generation grows: with members, images, their size, and devices; and what is compiled.

  python -m benchmarks.scaling

A generation labels images by two nets, blocks and augments the pairs and trains the members on them.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from typing import Any

from absl import flags

from benchmarks import common, table, worker
from benchmarks.worker import Worker
from imjax import cli
from imjax.errors import TrainingError

FLAGS = flags.FLAGS
BASE = {"size": 64, "images": 64, "members": 4, "steps": 32}
QUICK = {"size": 32, "images": 8, "members": 2, "steps": 4, "alpha": 0.125}
AXES: dict[str, tuple[int, ...]] = {
    "members": (1, 2, 4, 8),
    "images": (32, 64, 128, 256),
    "size": (32, 64, 128),
    "devices": (1, 4),
}
FACTS = ("first_seconds", "programs", "compile_seconds", "programs_again", "devices")
HELP = [sys.executable, "-m", "imjax.main", "--help"]


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    common.define_flags(rounds=5)
    flags.DEFINE_list("axes", list(AXES), f"What to vary, of {', '.join(AXES)}.")


def main(_: list[str]) -> None:
    """Measure, print the table and the JSON line."""
    common.check()
    found = []
    for axis in FLAGS.axes:
        values = AXES[axis][:2] if FLAGS.quick else AXES[axis]
        found += common.hold(axis, [entrant(axis, value) for value in values])
    start = start_up(3 if FLAGS.quick else 7)
    text = table.lines(found, FACTS, seconds=True)
    text += [f"python -m imjax.main --help: {start['median']:.2f} s"]
    text += [f"  {seconds:.2f} s {name}" for name, seconds in start["imports"].items()]
    table.publish("scaling", found, text, start_up=start)


def entrant(axis: str, value: int) -> Worker:
    """A generation with one thing other than usual."""
    args = dict(QUICK if FLAGS.quick else BASE)
    environment = {}
    if axis == "devices":
        one = "--xla_cpu_multi_thread_eigen=false" if value > 1 else ""
        environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={value} {one}".strip()
    else:
        args[axis] = value
    name = f"{value} {axis}"
    return Worker(name, "benchmarks.generation:Generation", args, True, environment, seconds=0)


def start_up(times: int) -> dict[str, Any]:
    """Seconds of the main command's `--help`: median, all, and the five modules that take longest to import.

    Raises:
        TrainingError: the command fails.
    """
    environment, seconds = worker.environment({}), []
    for _ in range(times):
        start = time.perf_counter()
        done = subprocess.run(HELP, cwd=worker.ROOT, env=environment, capture_output=True, text=True)
        seconds.append(time.perf_counter() - start)
    if done.returncode not in (0, 1):
        raise TrainingError(f"{' '.join(HELP[1:])}: exit code {done.returncode}")
    environment["PYTHONPROFILEIMPORTTIME"] = "1"
    told = subprocess.run(HELP, cwd=worker.ROOT, env=environment, capture_output=True, text=True)
    return {
        "median": statistics.median(seconds),
        "seconds": seconds,
        "imports": slowest_imports(told.stderr),
    }


def slowest_imports(text: str, count: int = 5) -> dict[str, float]:
    """Modules by their own seconds, longest first, from what `python -X importtime` prints."""
    longest: dict[str, float] = {}
    for micro, name in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", text, re.M):
        # The command starts itself anew (`devices.keep_memory`): everything is there twice.
        longest[name] = max(longest.get(name, 0.0), int(micro) / 1e6)
    ranked = sorted(longest.items(), key=lambda pair: -pair[1])
    return dict(ranked[:count])


if __name__ == "__main__":
    define_flags()
    cli.run(main)
