"""A whole tiny run of Inconsistency Masks: `python -m imjax.main` beside the same on Keras with files.

  python -m benchmarks.whole_run

Same scenes, network, candidates, generations and optimizer steps; both measure every candidate on val and
test. Times are of whole commands, from their start to their end. `score` is the mIoU on test of the last
generation's best candidate, by imjax's metric, to see that both learn.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import common, table, worker
from benchmarks.timing import Absent, Failed, Turn
from imjax import cli

FLAGS = flags.FLAGS
CONFIG = "configs/demo.py:tiny"
SET = {"method": "im"}
QUICK = {
    "generations": 1,
    "train.epochs": 1,
    "train.steps_per_epoch": 2,
    "data.synthetic.num_train": 24,
    "data.synthetic.num_val": 8,
    "data.synthetic.num_test": 8,
}
KERAS = {
    "Keras and files, predict_on_batch": "predict_on_batch",
    "Keras and files, model.predict": "predict",
}


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    common.define_flags(rounds=3)


class Command:
    """A contestant that is a whole command.

    Args:
        name: for the table.
        ours: whether it is imjax.
        line: number of the turn → the command's words and its environment's additions.
        score: number of the turn → what it found.
        warm_up: whether a turn that does not count comes first.
    """

    def __init__(
        self,
        name: str,
        ours: bool,
        line: Callable[[int], tuple[list[str], dict[str, str]]],
        score: Callable[[int], float],
        warm_up: bool = False,
    ):
        self.name, self.ours, self.score = name, ours, math.nan
        self._line, self._score, self._warm_up, self._turns = line, score, warm_up, 0

    def start(self) -> dict[str, Any]:
        """See `timing.Entrant`."""
        if self._warm_up:
            self.turn()
        return {}

    def turn(self) -> Turn:
        """See `timing.Entrant`."""
        self._turns += 1
        words, more = self._line(self._turns)
        start = time.perf_counter()
        done = subprocess.run(
            words, cwd=worker.ROOT, env=worker.environment(more), capture_output=True, text=True
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1][:200]
            if any(f"No module named '{peer}" in last for peer in worker.PEERS):
                raise Absent(worker.INSTALL)
            raise Failed(last)
        self.score = self._score(self._turns)
        return Turn(seconds, 1)

    def stop(self) -> None:
        """See `timing.Entrant`."""


def main(_: list[str]) -> None:
    """Measure, print the table and the JSON line."""
    common.check()
    changes = SET | (QUICK if FLAGS.quick else {})
    with tempfile.TemporaryDirectory(prefix="imjax-bench-") as folder:
        entrants = contestants(Path(folder), changes)
        rows = common.hold("IM, tiny", entrants)
        scores = {entrant.name: entrant.score for entrant in entrants}
    for row in rows:
        if "rate" in row:
            row["facts"]["score"] = scores[row["name"]]
    table.publish("whole_run", rows, table.lines(rows, ("score",), seconds=True), config=CONFIG, set=changes)


def contestants(folder: Path, changes: dict[str, Any]) -> list[Command]:
    """Everyone who takes part; `folder` is for their files."""
    config, packed = prepared(changes, folder / "cache")
    pictures = folder / "png"
    write_png(packed, pictures)
    found = [
        ours("imjax", folder, changes, cold=False),
        ours("imjax, cold: nothing compiled, no data packed", folder, changes, cold=True),
    ]
    for name, how in KERAS.items():
        given = json.dumps(settings(config, packed.spec.outputs, how))
        found.append(serial(name, folder / how, pictures, given, packed))
    return found


def ours(name: str, folder: Path, changes: dict[str, Any], cold: bool) -> Command:
    """imjax's own command, with the cache of the benchmark, or one that is empty in every turn."""
    root = folder / ("cold" if cold else "warm")

    def line(turn: int) -> tuple[list[str], dict[str, str]]:
        flags_ = [f"--config={CONFIG}", f"--workdir={root / str(turn)}"]
        flags_ += [f"--config.{key}={value}" for key, value in changes.items()]
        cache = root / f"cache_{turn}" if cold else folder / "cache"
        flags_.append(f"--config.data.cache={cache}")
        return [sys.executable, "-m", "imjax.main", *flags_], {}

    def score(turn: int) -> float:
        with (root / str(turn) / "results.csv").open(newline="") as file:
            found = [
                row
                for row in csv.DictReader(file)
                if (row["split"], row["metric"], row["class"], row["rank"]) == ("test", "miou", "", "1")
            ]
        return float(found[-1]["value"])

    return Command(name, True, line, score, warm_up=not cold)


def serial(name: str, root: Path, pictures: Path, given: str, packed: Any) -> Command:
    """The run of `benchmarks.serial_run`."""

    def line(turn: int) -> tuple[list[str], dict[str, str]]:
        out = root / str(turn)
        out.mkdir(parents=True)
        flags_ = [f"--data={pictures}", f"--out={out}", f"--settings={given}"]
        return [sys.executable, "-m", "benchmarks.serial_run", *flags_], {}

    def score(turn: int) -> float:
        import numpy as np

        from imjax.training import evaluate

        said = np.load(root / str(turn) / "test.npy")
        shutil.rmtree(root / str(turn))
        found = evaluate.figures(packed.spec, truth=packed.splits["test"].labels, prediction=said)
        return found[packed.spec.primary_metric, ""]

    return Command(name, False, line, score)


def prepared(changes: dict[str, Any], cache: Path) -> tuple[Any, Any]:
    """The run's settings, and its data as packed into the cache."""
    from configs.demo import get_config
    from imjax.config.convert import freeze
    from imjax.data import pack

    values = get_config(CONFIG.partition(":")[2])
    values.update_from_flattened_dict(changes)
    config = freeze(values.to_dict())
    return config, pack.load_packed(pack.prepare_dataset(config.data, cache))


def write_png(packed: Any, folder: Path) -> None:
    """Every split as PNG files."""
    from benchmarks.peers_serial import write_pair

    for name, split in packed.splits.items():
        (folder / name).mkdir(parents=True)
        for i, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
            write_pair(folder / name, f"{i:05d}", image, label)


def settings(config: Any, outputs: int, how: str) -> dict[str, Any]:
    """What the run on Keras is told."""
    return {
        "size": config.data.height,
        "outputs": outputs,
        "alpha": config.model.width,
        "momentum": config.model.momentum,
        "candidates": config.num_nets,
        "generations": config.generations,
        "epochs": config.train.epochs,
        "steps": config.train.steps_per_epoch,
        "batch": config.train.batch_size,
        "members": config.ensemble.members,
        "how": how,
    }


if __name__ == "__main__":
    define_flags()
    cli.run(main)
