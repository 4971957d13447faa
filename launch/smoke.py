"""Every configuration's `:tiny` run, on synthetic data in its dataset's original layout.

  python -m launch.smoke --root=runs/smoke
  python -m launch.smoke --root=runs/smoke --part=2/10
  python -m launch.smoke --root=runs/smoke configs/hela_*.py

Ends with a table: the test figure of each beside that of the best constant answer, which it must beat. The
same command goes on where it was stopped.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from imjax import door, log
from imjax.data import fixtures, pack
from imjax.data.options import DataOptions
from imjax.engine import evaluate
from imjax.errors import TrainingError, UserError
from launch import sweep
from launch.points import Point, make_points

FLAGS = flags.FLAGS
CONFIGS = Path(__file__).parents[1] / "configs"
COUNTS = {"train_val": 40, "train": 40, "val": 8, "val_test": 16, "test": 8, "train_val_test": 60}
SIZE = (256, 288)
"""Of the images that are written: HeLa's crops need 256."""
SETTINGS = ("data.label_fraction=0.25", "data.overlap=0", "data.crops=0")
"""Whole images, and enough of them labelled for a run of seconds to learn something."""


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("root", "runs/smoke", "Folder of the data and of the runs' folders.")
    flags.DEFINE_string("part", "1/1", "k/n: every n-th configuration, from the k-th.")


def main(arguments: list[str]) -> None:
    """Run the configurations of the part and judge them; UserError for what the caller can mend."""
    log.show()
    root = Path(FLAGS.root)
    paths = part([Path(a) for a in arguments] or sorted(CONFIGS.glob("*.py")), FLAGS.part)
    points = [point for path in paths for point in _points(path, root)]
    failed = sweep.run(points)
    if failed:
        raise TrainingError(sweep.story(failed, len(points)))
    worse = []
    for point in points:
        metric, value, constant = judge(point)
        fine = math.isfinite(value) and value > constant
        print(f"{point.name:32} test {metric} {value:.3f}, best constant answer {constant:.3f}")
        worse += [] if fine else [point.name]
    if worse:
        raise TrainingError(f"no better than a constant answer: {', '.join(worse)}")


def part(paths: Sequence[Path], text: str) -> list[Path]:
    """Every n-th path from the k-th, for `k/n`.

    Raises:
        UserError: not of that form.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--part={text}: expected k/n with k from 1 to n, e.g. 2/10")
    return list(paths)[int(match[1]) - 1 :: int(match[2])]


def _points(path: Path, root: Path) -> list[Point]:
    """The run of one configuration, with its dataset written."""
    dataset = path.stem.split("_")[0]
    if dataset not in fixtures.WRITERS:
        return make_points([f"{path}:tiny"], [], [], root)
    data = root / "data" / dataset
    if not data.exists():
        fixtures.write_synthetic(dataset, data, COUNTS, size=SIZE)
    return make_points([f"{path}:tiny"], [], [f"data.dir={data}", *SETTINGS], root)


def judge(point: Point) -> tuple[str, float, float]:
    """Headline metric, a finished run's test figure of it, and that of the best constant answer."""
    config = point.config
    packed = pack.load(
        pack.prepare(DataOptions.of(config.data), Path(config.data.cache or pack.default_cache()))
    )
    spec, test = packed.spec, packed.splits["test"]
    constants = [test.labels * 0 + value for value in range(max(spec.outputs, 2))]
    if spec.kind == "multilabel":
        constants = constants[:2]
    answers = [
        evaluate.figures(spec, truth=test.labels, prediction=constant)[spec.headline, ""]
        for constant in constants
    ]
    return spec.headline, _last(point.workdir, point.config.method, spec.headline), max(answers)


def _last(workdir: Path, method: str, metric: str) -> float:
    """Test figure of the candidate ranked first of a run's last stage; nan without one."""
    with (workdir / "results.csv").open(newline="", encoding="utf-8") as file:
        wanted = {"method": method, "metric": metric, "split": "test", "rank": "1", "class": ""}
        rows = [row for row in csv.DictReader(file) if all(row[key] == v for key, v in wanted.items())]
    return float(rows[-1]["value"] or "nan") if rows else math.nan


if __name__ == "__main__":
    define_flags()
    door.run(main, positional=True)
