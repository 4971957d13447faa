"""Many runs, one after another, each in a folder of its own.

  python -m launch.sweep --config=configs/camvid_im_pp.py:small --sweep=seed --set=data.dir=CamVid
  python -m launch.sweep --config=configs/suim_im.py configs/suim_im_pp.py --sweep=n:2,3,4 --sweep=seed:0,1
  python -m launch.sweep --config='configs/dsb2018_*.py:small' --sweep=labels --dry_run

A sweep is a name from configs/base/sweeps.py (seed, n, views, level, labels, block, morphology,
pair_filter) or any key with values; several are combined. Stages that several runs have in common, such as
LDT's nets, are made once. The same command goes on where it was stopped: finished runs are skipped, failed
ones are tried again.
"""

from __future__ import annotations

import dataclasses
import glob
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from imjax import door
from imjax.errors import Stopped, TrainingError, UserError
from imjax.selftrain.store import read_json
from imjax.selftrain.workdir import facts
from launch.points import Point, make_points

FLAGS = flags.FLAGS
LOG = "sweep.log"
"""In a run's folder: what its command said."""
TAIL = 5
"""Lines of the log of a failed run that are shown."""


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_multi_string(
        "config",
        [],
        "Configuration file, e.g. configs/suim_im.py:small; for more, repeat the flag, name them after it, "
        "or give a pattern with *.",
    )
    flags.DEFINE_multi_string("sweep", [], "Name of a sweep, or key:value,value. May be repeated.")
    flags.DEFINE_multi_string("set", [], "key=value for all runs, e.g. data.dir=CamVid. May be repeated.")
    flags.DEFINE_string("root", "runs", "Folder of the runs' folders.")
    flags.DEFINE_bool("dry_run", False, "Print the runs and stop.")


def main(arguments: list[str]) -> None:
    """Run every point that is not finished; UserError for what the caller can mend."""
    configs = [path for text in (*FLAGS.config, *arguments) for path in _matching(text)]
    if not configs:
        raise UserError("--config is missing; try --config=configs/demo.py:tiny --sweep=seed --dry_run")
    points = make_points(configs, FLAGS.sweep, FLAGS.set, Path(FLAGS.root))
    if FLAGS.dry_run:
        print("\n".join(f"{_state(point):8}  {' '.join(_command(point, [])[1:])}" for point in points))
        return
    # Stopped as by Ctrl-C, so that the run that is going saves itself.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    failed = run(points)
    if failed:
        raise TrainingError(story(failed, len(points)))
    print(f"\nall {len(points)} runs are finished: python -m imjax.report {FLAGS.root}/* --out=report.html")


def _matching(text: str) -> list[str]:
    """Configurations that a pattern stands for, each with the preset that follows it."""
    pattern, colon, preset = text.partition(":")
    if not glob.has_magic(pattern):
        return [text]
    found = sorted(glob.glob(pattern))
    if not found:
        raise UserError(f"--config={text}: no file matches this pattern")
    return [path + colon + preset for path in found]


def run(points: Sequence[Point]) -> list[Point]:
    """Run the points that are not finished, one at a time; returns those that failed.

    Raises:
        Stopped: a run was stopped; it has saved itself.
    """
    failed: list[Point] = []
    for number, point in enumerate(points, 1):
        title = f"{number}/{len(points)} {point.name}"
        if finished(point):
            print(f"{title}: finished before", flush=True)
            continue
        print(f"{title}: running, see {point.workdir / LOG}", flush=True)
        start = time.monotonic()
        code = _run(point, points)
        if code == 0 and not finished(point) or code == 130:
            raise Stopped(f"in {point.name}")
        if code:
            failed.append(point)
        verdict = f"FAILED with exit code {code}" if code else "finished"
        print(f"{title}: {verdict} after {time.monotonic() - start:.0f} s", flush=True)
    return failed


def _run(point: Point, points: Sequence[Point]) -> int:
    """One run in a process of its own; its exit code."""
    dataset = point.config.data.dataset
    others = [p.workdir for p in points if p is not point and p.config.data.dataset == dataset]
    lenders = [workdir for workdir in others if (workdir / "config.json").is_file()]
    point.workdir.mkdir(parents=True, exist_ok=True)
    with (point.workdir / LOG).open("a", encoding="utf-8") as log:
        process = subprocess.Popen(_command(point, lenders), stdout=log, stderr=subprocess.STDOUT)
        try:
            return process.wait()
        except KeyboardInterrupt:
            # Ctrl-C has reached the run as well; SIGTERM makes it save itself.
            process.terminate()
            process.wait()
            raise


def _command(point: Point, lenders: Sequence[Path]) -> list[str]:
    reuse = [f"--reuse={workdir}" for workdir in lenders]
    return [sys.executable, "-m", "imjax.main", *point.flags, f"--workdir={point.workdir}", *reuse]


def finished(point: Point) -> bool:
    """Whether the point's folder has the report of a run with its configuration."""
    try:
        there = facts(read_json(point.workdir / "config.json")["config"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    wanted = facts(dataclasses.asdict(point.config))
    same = all(there.get(key) == value for key, value in wanted.items())
    return same and (point.workdir / "report.html").is_file()


def _state(point: Point) -> str:
    return "finished" if finished(point) else "started" if point.workdir.exists() else "new"


def story(failed: Sequence[Point], total: int) -> str:
    """Failed runs with the ends of their logs."""
    lines = [f"{len(failed)} of {total} runs failed; the same command tries them again"]
    for point in failed:
        lines.append(f"{point.name}: {point.workdir / LOG} ends with")
        text = (point.workdir / LOG).read_text(encoding="utf-8", errors="replace")
        lines += [f"  {line}" for line in text.splitlines()[-TAIL:]]
    return "\n".join(lines)


if __name__ == "__main__":
    define_flags()
    door.run(main, positional=True)
