"""All that there is to learn about imjax on an accelerator, in one call, the most important first.

  python -m benchmarks.gpu --out=gpu --minutes=25

Training steps by members, width, size and type, by vmap, by chunks of members and one after another; memory
per member; the share of the machine's limit; whole generations. `OUT/gpu.json` is written anew after every
case, and a call that finds one of the same machine goes on from it: where a call is cut off, give it again.
Needs neither grain, clu nor tensorflow; generations need ml_collections.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from benchmarks import machine, table
from benchmarks.timing import Absent, Failed, spread
from benchmarks.worker import Worker
from imjax import door
from imjax.errors import UserError

FLAGS = flags.FLAGS
TURNS = 5
LEAST_SECONDS = 15
"""Budget below which nothing new is begun."""


class Group(NamedTuple):
    """Cases that share a process: one network at one size."""

    alpha: float
    size: int
    dtype: str


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("out", None, "Folder for gpu.json.")
    flags.DEFINE_float("minutes", 25.0, "Time for everything; what is left over is not measured.")
    flags.DEFINE_list("members", ["1", "4", "16", "2", "8"], "Members; memory is told in rising order.")
    flags.DEFINE_list("alphas", ["1", "0.5", "2"], "Widths, the most important first.")
    flags.DEFINE_list("sizes", ["128", "256", "64"], "Sides of the images, the most important first.")
    flags.DEFINE_list("dtypes", ["bfloat16", "float32"], "Types, the most important first.")
    flags.DEFINE_integer("batch", 16, "Images per member and step.")
    flags.DEFINE_float("seconds", 0.5, "Least length of a turn.")
    flags.DEFINE_bool("generations", True, "Measure whole generations as well.")


def main(_: list[str]) -> None:
    """Measure within the budget, write gpu.json after every case, print the table and the JSON line."""
    if not FLAGS.out:
        raise UserError("--out is missing; name the folder that gpu.json may be written to")
    record = Record(Path(FLAGS.out), time.monotonic() + 60 * FLAGS.minutes)
    record.limits |= {dtype: limits(dtype, record) for dtype in FLAGS.dtypes if dtype not in record.limits}
    check_device(record.limits)
    first, *rest = groups()
    measure(first, record)
    if FLAGS.generations:
        generations(record, first)
    for group in rest:
        measure(group, record)
    head = ("case", "images/s", "quartiles", "per member", "MiB/member", "of limit", "of bandwidth", "note")
    text = table.aligned([head, *map(_cells, record.rows)])
    table.publish("gpu", record.rows, text, limits=record.limits)


class Record:
    """What was measured, on disk at any time.

    Args:
        folder: for gpu.json.
        deadline: on the monotonic clock.
    """

    def __init__(self, folder: Path, deadline: float):
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._deadline = folder / "gpu.json", deadline
        self.rows: list[dict[str, Any]] = []
        self.limits: dict[str, dict[str, Any]] = {}
        if self._path.is_file():
            before = json.loads(self._path.read_text(encoding="utf-8"))
            if before["machine"] == machine.facts():
                # What failed, for want of time perhaps, is tried again.
                self.rows = [row for row in before["rows"] if "note" not in row]
                self.limits = {name: rates for name, rates in before["limits"].items() if "note" not in rates}
                table.say(f"{self._path}: {len(self.rows)} cases are there already")

    def left(self) -> float:
        """Seconds of the budget."""
        return self._deadline - time.monotonic()

    def over(self) -> bool:
        """Whether nothing new should be begun."""
        return self.left() < LEAST_SECONDS

    def has(self, row: dict[str, Any]) -> bool:
        """Whether this case, all of its settings, was measured before."""
        return any(row.items() <= old.items() for old in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row, and say so."""
        self.rows.append(row)
        table.say(f"{' '.join(_cells(row))}   ({self.left():.0f} s left)")
        facts = {"machine": machine.facts(), "limits": self.limits, "rows": self.rows}
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(facts, indent=1), encoding="utf-8")
        os.replace(part, self._path)


def groups() -> list[Group]:
    """Networks and sizes: by how far they are from the first of each list, nearest first."""
    found = [
        (i + j + k, Group(float(alpha), int(size), dtype))
        for i, alpha in enumerate(FLAGS.alphas)
        for j, size in enumerate(FLAGS.sizes)
        for k, dtype in enumerate(FLAGS.dtypes)
    ]
    return [group for _, group in sorted(found, key=lambda pair: pair[0])]


def limits(dtype: str, record: Record) -> dict[str, Any]:
    """The machine's two rates for a type, see `machine.Limits`."""
    on_cpu = os.environ.get("JAX_PLATFORMS") == "cpu"
    args = {"side": 512 if on_cpu else 8192, "dtype": dtype, "copied": (1 << 20) if on_cpu else (1 << 30)}
    one = Worker("limits", "benchmarks.machine:Limits", args, True, limit=record.left())
    try:
        one.open()
        return one.again(one.make, args)
    except Failed as error:
        return {"note": str(error)}
    finally:
        one.stop()


def check_device(limits: dict[str, dict[str, Any]]) -> None:
    """UserError if JAX found no accelerator and was not told to use the CPU."""
    found = next((rates["device"] for rates in limits.values() if "device" in rates), "")
    if found == "cpu" and os.environ.get("JAX_PLATFORMS") != "cpu":
        raise UserError(
            "JAX has found no accelerator, expected a GPU or TPU; install its build of JAX (README.md), or "
            "say JAX_PLATFORMS=cpu to see how this command works"
        )


def cases() -> Iterator[tuple[int, int]]:
    """Members, and members per chunk: first all at once, rising, since a process's peak memory only rises."""
    counts = sorted(map(int, FLAGS.members))
    yield from ((count, -1) for count in counts)
    # One after another costs the same per member whatever their number: one number shows it.
    yield (counts[min(1, len(counts) - 1)], 1)
    yield from ((counts[-1], chunk) for chunk in counts[2:-1:2])


def measure(group: Group, record: Record) -> None:
    """All cases of a group, in a process of their own."""
    one = Worker("ours", "benchmarks.ours:Training", {}, True, seconds=FLAGS.seconds)
    cost: dict[str, Any] = {}
    opened = False
    try:
        for members, chunk in cases():
            if record.over():
                return
            how = {-1: "vmap", 1: "in turn"}.get(chunk, f"by {chunk}")
            row = group._asdict() | {"members": members, "how": how}
            if record.has(row):
                continue
            if not opened:
                one.open()
                opened = True
            args = group._asdict() | {"batch": FLAGS.batch, "members": members, "per_chunk": chunk}
            try:
                one.limit = max(record.left(), 1)
                _train(one, args | {"cost": not cost}, row)
                cost = cost or {k: row["facts"][k] for k in ("step_flops", "step_bytes")}
                _share(row, cost, record.limits[group.dtype])
            except (Absent, Failed) as error:
                row["note"] = str(error)
                # Out of memory leaves the process in any state.
                one.stop()
                opened = False
            record.add(row)
    finally:
        one.stop()


def _train(one: Worker, args: dict[str, Any], row: dict[str, Any]) -> None:
    """Measure one case into its row."""
    one.again(one.make, args)
    repeats = one.calibrated()
    turns = [one.run(repeats) for _ in range(TURNS)]
    row["rate"] = spread([turn.images / turn.seconds for turn in turns])._asdict()
    row["facts"] = dict(one.facts)
    if "peak_bytes" in one.facts and row["how"] == "vmap":
        row["bytes_per_member"] = one.facts["peak_bytes"] / row["members"]


def _share(row: dict[str, Any], cost: dict[str, Any], limit: dict[str, Any]) -> None:
    """Time that the step's operations, or its bytes, take at the machine's rates, over the time it took."""
    if "flops" in limit:
        by_flops, by_bytes = cost["step_flops"] / limit["flops"], cost["step_bytes"] / limit["bytes"]
        taken = FLAGS.batch / row["rate"]["median"]
        row |= {"share_of_product_rate": by_flops / taken, "share_of_bandwidth": by_bytes / taken}
        row["share_of_limit"] = max(by_flops, by_bytes) / taken


def generations(record: Record, group: Group) -> None:
    """Whole generations of the first network, by members."""
    for members in sorted(map(int, FLAGS.members)):
        if record.over():
            return
        row = group._asdict() | {"members": members, "how": "generation"}
        if record.has(row):
            continue
        args = group._asdict() | {"members": members, "images": 16 * FLAGS.batch, "batch": FLAGS.batch}
        one = Worker("ours", "benchmarks.generation:Generation", args, True, seconds=0, limit=record.left())
        try:
            one.start()
            row["seconds"] = spread([one.turn().seconds for _ in range(3)])._asdict()
            row["facts"] = dict(one.facts)
        except (Absent, Failed) as error:
            row["note"] = str(error)
        finally:
            one.stop()
        record.add(row)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    name = f"α={row['alpha']:g} {row['size']}² {row['dtype']} {row['members']} {row['how']}"
    if "seconds" in row:
        return name, *[""] * 6, f"{row['seconds']['median']:.2f} s a generation"
    if "rate" not in row:
        return name, *[""] * 6, row.get("note", "")
    median, low, high = (row["rate"][k] for k in ("median", "low", "high"))
    memory = f"{row['bytes_per_member'] / 2**20:.0f}" if "bytes_per_member" in row else ""
    shares = [f"{row[key]:.2f}" if key in row else "" for key in ("share_of_limit", "share_of_bandwidth")]
    between = f"{table.number(low)}..{table.number(high)}"
    each = table.number(median / row["members"])
    return name, table.number(median), between, each, memory, *shares, row.get("note", "")


if __name__ == "__main__":
    define_flags()
    door.run(main)
