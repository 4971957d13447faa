"""Training steps on an accelerator by size, members and strategy, beside PyTorch, the most important first.

  python -m benchmarks.gpu --out=gpu --minutes=4

Cases run in waves: the programs of a wave are compiled side by side, then each is measured alone. gpu.json
is written after every case, and a call that finds one of the same machine goes on from it. Needs neither
grain, clu nor tensorflow; whole generations need ml_collections.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from benchmarks import machine, table
from benchmarks.timing import Absent, Failed, spread
from benchmarks.worker import Worker
from imjax import cli
from imjax.errors import ErrorCode, UserError

FLAGS = flags.FLAGS
TURNS = 5
LONG_TURN = 3.0
"""Seconds of a turn after which a case gets no further one."""
LEAST_SECONDS = 20
"""Budget below which nothing new is begun."""
SCAN = 16
"""Steps per dispatch of the cases that measure `lax.scan`."""
SEARCH = {"XLA_FLAGS": "--xla_gpu_autotune_level=4 --xla_gpu_enable_triton_gemm=true"}
"""XLA's own defaults: a search for the fastest kernel, which `training.devices.SETTINGS` turns off."""
TORCH = "PyTorch"


class Shape(NamedTuple):
    """One network and one batch."""

    size: int
    batch: int
    alpha: float


class Case(NamedTuple):
    """What is measured."""

    shape: Shape
    members: int
    strategy: str
    """A key of `ours.STRATEGIES_OF_DEVICE`, perhaps with "+scan" or "+search"; a peer; or "generation"."""

    def row(self, dtype: str) -> dict[str, Any]:
        """Its settings, by which it is found again."""
        return self.shape._asdict() | {"members": self.members, "strategy": self.strategy, "dtype": dtype}


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("out", None, "Folder for gpu.json.")
    flags.DEFINE_float("minutes", 25.0, "Time for everything; what is left over is not measured.")
    flags.DEFINE_list("members", ["4", "1", "16"], "Members, the most important first.")
    flags.DEFINE_list(
        "shapes", ["256x32x1", "128x32x0.5", "64x8x0.5"], "side x batch x alpha, the most important first."
    )
    flags.DEFINE_string("dtype", "bfloat16", "Type of the computation.")
    flags.DEFINE_integer("wave", 8, "Programs that are compiled side by side.")
    flags.DEFINE_float("seconds", 0.3, "Least length of a turn.")
    flags.DEFINE_bool("rest", True, "After the priority cases: scan, search, whole generations.")
    flags.DEFINE_bool("torch", True, "Measure PyTorch as well.")


def main(_: list[str]) -> None:
    """Measure within the budget, write gpu.json after every case, print the table and the JSON line."""
    if not FLAGS.out:
        raise UserError(
            "--out is missing; name the folder that gpu.json may be written to",
            code=ErrorCode.MISSING,
            field="--out",
        )
    record = Record(Path(FLAGS.out), time.monotonic() + 60 * FLAGS.minutes)
    if not record.limits:
        record.limits = limits(FLAGS.dtype, record)
    check_device(record.limits)
    todo = [case for case in cases() if not record.has(case.row(FLAGS.dtype))]
    for first in range(0, len(todo), FLAGS.wave):
        if record.over():
            break
        measure(todo[first : first + FLAGS.wave], record)
    text = table.aligned([HEAD, *map(_cells, record.rows)])
    table.publish("gpu", record.rows, text, limits=record.limits, left=len(todo) - record.added)


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
        self.limits: dict[str, Any] = {}
        self.added = 0
        if self._path.is_file():
            before = json.loads(self._path.read_text(encoding="utf-8"))
            if before["machine"] == machine.facts():
                # A case that failed, perhaps for lack of time, is measured again.
                self.rows = [row for row in before["rows"] if "note" not in row]
                self.limits = {} if "note" in before["limits"] else before["limits"]
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
        """Keep a row, and print it."""
        self.rows.append(row)
        self.added += 1
        table.say(f"{'  '.join(_cells(row))}   ({self.left():.0f} s left)")
        facts = {"machine": machine.facts(), "limits": self.limits, "rows": self.rows}
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(facts, indent=1), encoding="utf-8")
        os.replace(part, self._path)


def cases() -> Iterator[Case]:
    """Every case, the most important first."""
    shapes = [Shape(int(s), int(b), float(a)) for s, b, a in (text.split("x") for text in FLAGS.shapes)]
    members = [int(count) for count in FLAGS.members]
    main_count = members[0]
    for strategy in ("products", "split products", "split products+scan"):
        for shape in shapes:
            yield Case(shape, main_count, strategy)
    for shape in shapes if FLAGS.torch else ():
        yield Case(shape, 1, TORCH)
    for count in members[1:]:
        for shape in shapes:
            yield Case(shape, count, "split products")
    if not FLAGS.rest:
        return
    # Without the search cuDNN takes a direct kernel, 4 to 13 times slower with four members (H200).
    for strategy in ("split products+search", "sequential+search", "dispatched+search"):
        for shape in shapes:
            yield Case(shape, main_count, strategy)
    for shape in shapes if FLAGS.torch else ():
        yield Case(shape, 1, TORCH + ", compiled")
    for strategy in ("products+search", "products+scan", "sequential products", "grouped"):
        for shape in shapes:
            yield Case(shape, main_count, strategy)
    # What a step costs by its program, without which there are no shares of the limit.
    for shape in shapes:
        yield Case(shape, 1, "products")
    yield Case(shapes[min(1, len(shapes) - 1)], main_count, "generation")


def limits(dtype: str, record: Record) -> dict[str, Any]:
    """The machine's two rates, see `machine.Limits`."""
    on_cpu = os.environ.get("JAX_PLATFORMS") == "cpu"
    args = {"side": 512 if on_cpu else 8192, "dtype": dtype, "copied": (1 << 20) if on_cpu else (1 << 30)}
    worker = Worker("limits", "benchmarks.machine:Limits", args, True, limit=record.left())
    try:
        worker.open()
        return worker.again(worker.make, args)
    except Failed as error:
        return {"note": str(error)}
    finally:
        worker.stop()


def check_device(limits: dict[str, Any]) -> None:
    """UserError if JAX found no accelerator and was not told to use the CPU."""
    if limits.get("device") == "cpu" and os.environ.get("JAX_PLATFORMS") != "cpu":
        raise UserError(
            "JAX has found no accelerator, expected a GPU or TPU; install its build of JAX (README.md), or "
            "say JAX_PLATFORMS=cpu to see how this command works",
            code=ErrorCode.UNAVAILABLE,
            field="JAX_PLATFORMS",
        )


def measure(wave: Sequence[Case], record: Record) -> None:
    """Compile the cases side by side, each in a process of its own, then measure one after another."""
    workers = [make_worker(case, record.left()) for case in wave]
    try:
        with ThreadPoolExecutor(len(wave)) as pool:
            rows = list(pool.map(_warm_up, wave, workers))
        for case, worker, row in zip(wave, workers, rows, strict=True):
            if "note" not in row:
                _time(case, worker, row, record)
            record.add(row)
    finally:
        for worker in workers:
            worker.stop()


def make_worker(case: Case, limit: float) -> Worker:
    """A process that runs the case."""
    shape = case.shape._asdict()
    ours = not case.strategy.startswith(TORCH)
    environment: dict[str, str] = {}
    if not ours:
        # On the host where this command is only tried out.
        device = "cpu" if os.environ.get("JAX_PLATFORMS") == "cpu" else "cuda"
        args = shape | {"compiled": "compiled" in case.strategy, "device": device, "dtype": FLAGS.dtype}
        made = "benchmarks.peers_torch:Training"
    elif case.strategy == "generation":
        args = shape | {"members": case.members, "images": 16 * shape["batch"], "dtype": FLAGS.dtype}
        made = "benchmarks.generation:Generation"
    else:
        strategy, _, variant = case.strategy.partition("+")
        args = shape | {"members": case.members, "dtype": FLAGS.dtype, "strategy": strategy}
        args |= {"scan": SCAN if variant == "scan" else 1}
        # One member of each shape tells the operations and bytes of a step.
        args["cost"] = case.members == 1 and "products" in strategy
        environment = SEARCH if variant == "search" else {}
        made = "benchmarks.ours:Training"
    return Worker(case.strategy, made, args, ours, environment, seconds=FLAGS.seconds, limit=max(limit, 1))


def _warm_up(case: Case, worker: Worker) -> dict[str, Any]:
    """Compile and run once: the row with the time that it took, or with a note."""
    row = case.row(FLAGS.dtype)
    start = time.monotonic()
    try:
        worker.open()
        worker.again(worker.make, worker.args)
        worker.run(1)
        row["first_step_seconds"] = time.monotonic() - start
    except (Absent, Failed) as error:
        row["note"] = str(error)
    return row


def _time(case: Case, worker: Worker, row: dict[str, Any], record: Record) -> None:
    """Measure a case that is warm into its row."""
    try:
        if case.strategy == "generation":
            row["seconds"] = spread([worker.run(1).seconds for _ in range(3)])._asdict()
        else:
            repeats = worker.calibrated()
            turns = [worker.run(repeats)]
            # A slow case shows in one turn that it is slow.
            turns += [worker.run(repeats) for _ in range(TURNS - 1 if turns[0].seconds < LONG_TURN else 0)]
            row["rate"] = spread([turn.images / turn.seconds for turn in turns])._asdict()
            row["ms"] = 1000 * case.members * case.shape.batch / row["rate"]["median"]
        row["facts"] = dict(worker.facts)
    except (Absent, Failed) as error:
        row["note"] = str(error)
        return
    _share(row, record)


def _share(row: dict[str, Any], record: Record) -> None:
    """Time that the step's operations, or its bytes, take at the machine's rates, over the time it took."""
    shape = {key: row[key] for key in Shape._fields}
    told = (one["facts"] for one in (*record.rows, row) if "facts" in one and shape.items() <= one.items())
    cost = next((facts for facts in told if facts.get("step_bytes")), None)
    if cost and "rate" in row and "flops" in record.limits:
        taken = row["batch"] / row["rate"]["median"]
        row["share_of_product_rate"] = cost["step_flops"] / record.limits["flops"] / taken
        row["share_of_bandwidth"] = cost["step_bytes"] / record.limits["bytes"] / taken


HEAD = (
    "case",
    "images/s",
    "quartiles",
    "ms a step",
    "ms a member",
    "first step s",
    "MiB",
    "of bandwidth",
    "",
)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    name = f"{row['size']}²×{row['batch']} α={row['alpha']:g} {row['members']} {row['strategy']}"
    first = f"{row['first_step_seconds']:.0f}" if "first_step_seconds" in row else ""
    if "seconds" in row:
        return name, *[""] * 4, first, "", "", f"{row['seconds']['median']:.2f} s a generation"
    if "rate" not in row:
        return name, *[""] * 4, first, "", "", row.get("note", "")
    median, low, high = (row["rate"][k] for k in ("median", "low", "high"))
    memory = f"{row['facts']['peak_bytes'] / 2**20:.0f}" if "peak_bytes" in row["facts"] else ""
    share = f"{row['share_of_bandwidth']:.2f}" if "share_of_bandwidth" in row else ""
    times = table.number(row["ms"]), table.number(row["ms"] / row["members"])
    between = f"{table.number(low)}..{table.number(high)}"
    return name, table.number(median), between, *times, first, memory, share, row.get("note", "")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
