"""Which kernels a training step spends its time in, and at which share of the memory bandwidth.

  python -m benchmarks.profile --out=profile --size=256 --batch=32 --alpha=1 --members=4 --strategy=products

Writes `OUT/profile.json`: kernels by total time, and the longest ones with the bytes they must move at least.
"""

from __future__ import annotations

import collections
import json
import tempfile
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import machine, ours, table
from imjax import cli
from imjax.errors import ErrorCode, UserError

FLAGS = flags.FLAGS
TOP = 40
"""Kernels that are listed."""


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("out", None, "Folder for profile.json.")
    flags.DEFINE_integer("size", 256, "Side of the images.")
    flags.DEFINE_integer("batch", 32, "Images per member and step.")
    flags.DEFINE_float("alpha", 1.0, "Width of the net.")
    flags.DEFINE_integer("members", 4, "Members.")
    flags.DEFINE_enum("strategy", "products", list(ours.STRATEGIES_OF_DEVICE), "How members run.")
    flags.DEFINE_string("dtype", "bfloat16", "Type of the computation.")
    flags.DEFINE_integer("steps", 5, "Steps under the profiler, after as many without.")


def main(_: list[str]) -> None:
    """Profile, write profile.json, print the table."""
    if not FLAGS.out:
        raise UserError(
            "--out is missing; name the folder that profile.json may be written to",
            code=ErrorCode.MISSING,
            field="--out",
        )
    training = ours.Training(
        FLAGS.size, FLAGS.batch, FLAGS.members, alpha=FLAGS.alpha, dtype=FLAGS.dtype, strategy=FLAGS.strategy
    )
    import jax

    training.run(FLAGS.steps)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            training.run(FLAGS.steps)
        (trace,) = Path(folder).rglob("*.xplane.pb")
        kernels = kernel_times(jax.profiler.ProfileData.from_file(str(trace)))
    rows = summarize(kernels, FLAGS.steps)
    settings = {
        name: FLAGS[name].value for name in ("size", "batch", "alpha", "members", "strategy", "dtype")
    }
    found = {"machine": machine.facts(), "settings": settings, "facts": training.facts, "kernels": rows}
    folder = Path(FLAGS.out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "profile.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    head = ("kernel", "launches a step", "ms a step", "share")
    print("\n".join(table.aligned([head, *map(_cells, rows[:TOP])])))


def kernel_times(profile: Any) -> dict[str, list[float]]:
    """Name → durations in ns of every launch on the device (on a CPU: of XLA's operations)."""
    times: dict[str, list[float]] = collections.defaultdict(list)
    for plane in profile.planes:
        on_device = plane.name.startswith("/device:")
        for line in plane.lines:
            # On a GPU the kernels are in a line per stream; other lines repeat them by module and scope.
            if (on_device and line.name.startswith("Stream")) or "XLAPjRtCpuClient" in line.name:
                for event in line.events:
                    times[event.name].append(event.duration_ns)
    return times


def summarize(kernels: dict[str, list[float]], steps: int) -> list[dict[str, Any]]:
    """One row per kernel name, longest in total first."""
    total = sum(sum(times) for times in kernels.values()) or 1.0
    rows = [
        {
            "kernel": name,
            "launches": len(times) / steps,
            "ms": sum(times) / steps / 1e6,
            "share": sum(times) / total,
        }
        for name, times in kernels.items()
    ]
    return sorted(rows, key=lambda row: -row["ms"])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return row["kernel"][:90], f"{row['launches']:.1f}", f"{row['ms']:.3f}", f"{row['share']:.3f}"


if __name__ == "__main__":
    define_flags()
    cli.run(main)
