"""Every configuration's `:tiny` run, on synthetic data in its dataset's original layout.

  python -m launch.smoke --root=runs/smoke
  python -m launch.smoke --root=runs/smoke --part=2/10
  python -m launch.smoke --root=runs/smoke configs/hela_*.py

Ends with a table: the test figure of each beside chance, which it must beat. The same command goes on where
it was stopped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from imjax import door, log, rng
from imjax.data import fixtures, pack, readers
from imjax.data.options import DataOptions
from imjax.engine import evaluate
from imjax.errors import TrainingError, UserError
from imjax.methods import names
from imjax.report import runs as results
from launch import runs
from launch.executors import local
from launch.points import Point, make_points

FLAGS = flags.FLAGS
CONFIGS = Path(__file__).parents[1] / "configs"
COUNTS = {"train_val": 40, "train": 40, "val": 8, "val_test": 16, "test": 8, "train_val_test": 60}
SIZE = (256, 288)
"""Of the images that are written: HeLa's crops need 256."""
SETTINGS = ("data.overlap=0", "data.crops=0")
"""Whole images."""
LABELLED = 0.25
"""Share of them that is labelled at least, enough for a run of seconds to learn something."""


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("root", "runs/smoke", "Folder of the data and of the runs' folders.")
    flags.DEFINE_string("part", "1/1", "k/n: the k-th of n parts of the configurations, by name.")


def main(arguments: list[str]) -> None:
    """Run the configurations of the part and judge them; UserError for what the caller can mend."""
    log.show()
    root = Path(FLAGS.root)
    paths = part([Path(a) for a in arguments] or sorted(CONFIGS.glob("*.py")), FLAGS.part)
    points = [point for path in paths for point in _points(path, root)]
    failed = local.run(points)
    if failed:
        raise TrainingError(runs.story(failed, len(points)))
    worse = []
    for point in points:
        metric, value, chance = judge(point)
        fine = math.isfinite(value) and value > chance
        print(f"{point.name:32} test {metric} {value:.3f}, chance {chance:.3f}")
        worse += [] if fine else [point.name]
    if worse:
        raise TrainingError(f"no better than chance: {', '.join(worse)}")


def part(paths: Sequence[Path], text: str) -> list[Path]:
    """The k-th of n parts that follow one another: neighbours are of one dataset and share stages.

    Raises:
        UserError: not of that form.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--part={text}: expected k/n with k from 1 to n, e.g. 2/10")
    k, n = int(match[1]), int(match[2])
    return list(paths[len(paths) * (k - 1) // n : len(paths) * k // n])


def _points(path: Path, root: Path) -> list[Point]:
    """The run of one configuration, with its dataset written."""
    (bare,) = make_points([f"{path}:tiny"], [], [], root)
    dataset = bare.config.data.dataset
    if dataset not in fixtures.WRITERS:
        return [bare]
    data = root / "data" / dataset
    if not data.exists():
        # Volumes are large enough as they are written unless told.
        size = SIZE if readers.spec(dataset).dims == 2 else None
        fixtures.write_synthetic(dataset, data, COUNTS, size=size)
    share = max(LABELLED, bare.config.data.label_fraction)
    settings = [f"data.dir={data}", f"data.label_fraction={share}", *SETTINGS]
    return make_points([f"{path}:tiny"], [], settings, root)


def judge(point: Point) -> tuple[str, float, float]:
    """Metric, a finished run's test figure of it, and the same figure by chance.

    Chance is the truth with its pixels shuffled over all images: every class as often, and nowhere in place.
    The metric is the headline or, for several classes without a background, of which a run of seconds finds
    the largest, the pixel accuracy.
    """
    data = point.config.data
    packed = pack.load(pack.prepare(DataOptions.of(data), Path(data.cache or pack.default_cache())))
    spec, test = packed.spec, packed.splits["test"]
    truth = test.labels
    channels = truth.shape[1 + spec.dims :]
    pixels = rng.numpy(0, "smoke").permutation(truth.reshape(-1, *channels))
    # Beside a background that is nearly everything, guessing it is accurate; the headline leaves it out.
    metric = "mpa" if spec.kind == "multiclass" and not spec.background else spec.headline
    guess = evaluate.figures(spec, truth=truth, prediction=pixels.reshape(truth.shape), names=test.names)
    return metric, _last(point.workdir, names.title(point.config), metric), guess[metric, ""]


def _last(workdir: Path, method: str, metric: str) -> float:
    """Test figure of the candidate ranked first of a run's last stage; nan without one."""
    best = results.read(workdir).best
    found = [value for (name, _, figure), value in best.items() if (name, figure) == (method, metric)]
    return found[-1] if found else math.nan


if __name__ == "__main__":
    define_flags()
    door.run(main, positional=True)
