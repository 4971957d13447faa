"""Every configuration's `:tiny` run, on synthetic data in its dataset's original layout.

  python -m launch.smoke --root=runs/smoke
  python -m launch.smoke --root=runs/smoke --part=2/10
  python -m launch.smoke --root=runs/smoke configs/hela_*.py

Ends with a table: the test figure of each beside chance and the best constant prediction, both of which it
must beat. The same command goes on where it was stopped.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import flags

from imjax import cli, log, rng
from imjax.data import pack
from imjax.data.readers import registry
from imjax.data.spec import DatasetSpec
from imjax.data.synthetic import writers
from imjax.errors import ErrorCode, TrainingError, UserError
from imjax.methods import validate
from imjax.report.load import read_run
from imjax.training import evaluate
from launch import run_status
from launch.executors import local
from launch.grid import SweepRun, make_points

FLAGS = flags.FLAGS
CONFIGS = Path(__file__).parents[1] / "configs"
COUNTS = {"train_val": 40, "train": 40, "val": 8, "val_test": 16, "test": 8, "train_val_test": 120}
"""Images of each part; of a pool of 60, val and test of magnetic tiles were so few that the net that was best
on one was at chance on the other."""
SIZE = (256, 288)
"""Of the images that are written: HeLa's crops need 256."""
SETTINGS = ("data.tile_overlap=0", "data.random_crops=0")
"""Whole images."""
TOLERANCE = 1e-4
"""Difference of two figures below which they are of the same prediction."""
LABELED = 0.5
"""Share of them that is labeled at least, enough for a run of seconds to learn something: with a quarter
ensembles of binary nets ended at chance."""


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("root", "runs/smoke", "Folder of the data and of the runs' folders.")
    flags.DEFINE_string("part", "1/1", "k/n: the k-th of n parts of the configurations, by name.")


def main(arguments: list[str]) -> None:
    """Run the configurations of the part and check their scores; UserError for what the caller can fix."""
    log.show()
    root = Path(FLAGS.root)
    paths = select_part([Path(a) for a in arguments] or sorted(CONFIGS.glob("*.py")), FLAGS.part)
    points = [point for path in paths for point in _make_points(path, root)]
    failed = local.run_sweep(points)
    if failed:
        raise TrainingError(run_status.summarize_failures(failed, len(points)))
    verdicts = {point.name: evaluate_run(point) for point in points}
    for name, verdict in verdicts.items():
        print(f"{name:32} {verdict}")
    if faults := [f"{name}: {verdict.fault}" for name, verdict in verdicts.items() if verdict.fault]:
        raise TrainingError("; ".join(faults))


def select_part(paths: Sequence[Path], text: str) -> list[Path]:
    """The k-th of n parts that follow one another: neighbors are of one dataset and share stages.

    Raises:
        UserError: not of that form.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(
            f"--part={text}: expected k/n with k from 1 to n, e.g. 2/10",
            code=ErrorCode.MALFORMED,
            field="--part",
        )
    k, n = int(match[1]), int(match[2])
    return list(paths[len(paths) * (k - 1) // n : len(paths) * k // n])


def _make_points(path: Path, root: Path) -> list[SweepRun]:
    """The run of one configuration, with its dataset written."""
    (bare,) = make_points([f"{path}:tiny"], [], [], root)
    dataset = bare.config.data.dataset
    if dataset not in writers.WRITERS:
        return [bare]
    data = root / "data" / dataset
    if not data.exists():
        # Volumes are large enough as they are written by default.
        size = SIZE if registry.spec(dataset).dims == 2 else None
        writers.write_synthetic(dataset, data, COUNTS, size=size)
    share = max(LABELED, bare.config.data.label_fraction)
    settings = [f"data.dir={data}", f"data.label_fraction={share}", *SETTINGS]
    return make_points([f"{path}:tiny"], [], settings, root)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A finished run's test figure beside what needs no learning."""

    metric: str
    value: float
    chance: float
    """The figure of the truth with its pixels shuffled over all images."""
    constants: tuple[float, ...]
    """The figures of predictions that say the same of every pixel."""
    not_finite: tuple[str, ...] = ()
    """Metrics of the run's last stage, of its best candidate, that are no finite number."""

    def __str__(self) -> str:
        bars = f"chance {self.chance:.3f}, one class everywhere {max(self.constants):.3f}"
        return f"test {self.metric} {self.value:.3f}, {bars}"

    @property
    def fault(self) -> str:
        """What is wrong, in words; empty if nothing is."""
        if self.not_finite or not math.isfinite(self.value):
            return f"not finite: {', '.join(self.not_finite) or self.metric}"
        if self.value <= self.chance:
            return f"no better than chance ({self})"
        same = any(math.isclose(self.value, constant, abs_tol=TOLERANCE) for constant in self.constants)
        return f"one class everywhere ({self})" if same else ""


def evaluate_run(point: SweepRun) -> Verdict:
    """What a finished run's last stage is worth on test.

    Chance has every class as often as the truth, and nowhere in place. One class everywhere is what a net
    falls back on that has learned which is the largest and nothing else; a higher figure is beyond some
    nets of a few seconds that do find several classes. The metric is the primary one or, for several classes
    without a background, of which such nets find the largest, the pixel accuracy.
    """
    data = point.config.data
    packed = pack.load_packed(pack.prepare_dataset(data, Path(data.cache or pack.default_cache())))
    spec, test = packed.spec, packed.splits["test"]
    truth = test.labels
    channels = truth.shape[1 + spec.dims :]
    pixels = rng.numpy(0, "smoke").permutation(truth.reshape(-1, *channels))
    metric = "mpa" if spec.kind == "multiclass" and not spec.background else spec.primary_metric

    def score(prediction: np.ndarray) -> float:
        return evaluate.figures(spec, truth=truth, prediction=prediction, names=test.names)[metric, ""]

    same = tuple(score(prediction) for prediction in constant_predictions(spec, truth.shape))
    metrics = read_last_stage(point.workdir, validate.run_method(point.config))
    wrong = tuple(f"{name} {label}".strip() for (name, label), value in metrics.items() if value is None)
    value = metrics.get((metric, ""))
    value = math.nan if value is None else value
    return Verdict(metric, value, score(pixels.reshape(truth.shape)), same, wrong)


def constant_predictions(spec: DatasetSpec, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Labels, uint8 of this shape, that say the same of every pixel: one of each class or set of channels."""
    values: Iterable[int | tuple[int, ...]] = range(max(spec.outputs, 2))
    if spec.kind == "multilabel":
        values = itertools.product((0, 1), repeat=spec.outputs)
    for value in values:
        yield np.broadcast_to(np.array(value, np.uint8), shape)


def read_last_stage(workdir: Path, method: str) -> dict[tuple[str, str], float | None]:
    """(metric, class) → test figure, None if not finite, of the best candidate of a method's last stage."""
    rows = read_run(workdir).results
    rows = rows[(rows["method"] == method) & (rows["split"] == "test") & (rows["rank"] == 1)]
    if rows["generation"].notna().any():
        rows = rows[rows["generation"] == rows["generation"].max()]
    values = zip(rows["metric"], rows["class_name"], rows["value"], strict=True)
    return {
        (metric, class_name): None if math.isnan(value) else value for metric, class_name, value in values
    }


if __name__ == "__main__":
    define_flags()
    cli.run(main, positional=True)
