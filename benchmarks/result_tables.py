"""The tables of docs/results.md: all runs of one, side by side with the peer, and the table as Markdown.

  python -m benchmarks.result_tables study --data=data --root=runs/tables
  python -m benchmarks.result_tables start --data=data --root=runs/tables --only=isic2017 --seeds=0
  python -m benchmarks.result_tables joint --data=data --root=runs/tables --dry_run

Tables: `study` (the paper's methods), `joint` (methods that see all images in every batch) and `start` (what
should I use: pretrained or not, with and without the unlabeled images, and a plain PyTorch U-Net).
`--data` has a folder per dataset (`camvid`, `isic2017`, …). The same command goes on where it was stopped;
what is not finished is left out of the table and named below it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from benchmarks import table
from imjax import cli
from imjax.errors import ErrorCode, TrainingError, UserError
from imjax.report.load import RunRecord, read_run
from imjax.report.tables import NONE
from launch import run_status
from launch.executors import local
from launch.grid import SweepRun, make_points

FLAGS = flags.FLAGS

PRETRAINED = (
    "recipe=strong", "train.learning_rate=0.001", "model.backbone=efficientnet_lite0",
    "model.weights=imagenet",
)  # fmt: skip
SCRATCH = ("recipe=strong", "model.backbone=unet_residual", "model.weights=none", "train.learning_rate=0.003")
JOINTLY = ("num_nets=1", "report_top_k=1", "ensemble.members=1")
"""One system, as the peer is one net."""
STEPS, BATCH = 1000, 8
"""Of each net of `start`, and labeled images of a step."""


class Row(NamedTuple):
    """A line of a table: a configuration and its settings."""

    title: str
    config: str
    settings: tuple[str, ...] = ()


class Group(NamedTuple):
    """The lines of one dataset."""

    title: str
    folder: str
    """Below `--data`."""
    rows: tuple[Row, ...]
    settings: tuple[str, ...] = ()
    """Of all lines."""
    peer: bool = False
    """Whether the PyTorch U-Net is a line."""


def _study(folder: str, title: str, methods: Sequence[str], budgets: Sequence[str]) -> Iterator[Group]:
    for budget in budgets:
        # Presets say how many steps; the two budgets are those of methods.md 1.13.
        settings = ("train.steps_per_epoch=0", f"train.budget={budget}") if budget else ()
        name = f"{title}, {budget} steps" if budget else title
        rows = tuple(Row(method, f"{folder}_{method}:small") for method in methods)
        yield Group(name, folder, rows, settings)


STUDY = (
    "fdt", "ldt", "aldt", "model_ensemble", "noisy_student", "evalnet", "im", "im_p", "aim_p", "im_pp",
    "aim_pp",
)  # fmt: skip


def _joint() -> Iterator[Group]:
    for split in ("published", "scenes"):
        rows = tuple(
            Row(method, f"neu_seg_{method}:small") for method in ("supervised", "cps", "unimatch", "simeps")
        )
        settings = (f"data.split={split}", "data.label_fraction=0.1")
        yield Group(f"NEU-Seg, 10 % labeled, split {split}", "neu_seg", rows, settings)
    methods = ("supervised", "mean_teacher", "mean_teacher_metassl", "cps", "cps_metassl", "unimatch")
    # Of the fourteen training patients of the sample.
    for patients in (3, 7):
        rows = tuple(Row(method, f"acdc_{method}:small") for method in methods)
        yield Group(
            f"ACDC, {patients} patients labeled", "acdc", rows, (f"data.label_fraction={patients / 14:.6f}",)
        )


def _start() -> Iterator[Group]:
    own = {"isic2017": "ISIC 2017", "dsb2018": "DSB 2018", "cvc_clinicdb": "CVC-ClinicDB", "camvid": "CamVid"}
    for folder, title in own.items():
        dataset = "folder" if folder == "cvc_clinicdb" else folder
        yield _start_group(
            title, folder, dataset, () if dataset == "folder" else ("data.label_fraction=0.1",)
        )
    scenes = ("data.label_fraction=0.1", "data.split=scenes")
    yield _start_group("NEU-Seg by scenes", "neu_seg", "neu_seg", scenes)
    yield _start_group("ACDC", "acdc", "acdc", ("data.label_fraction=0.1",))


def _start_group(title: str, folder: str, dataset: str, settings: tuple[str, ...]) -> Group:
    width = 80 if dataset == "camvid" else 64
    length = (f"train.epochs={STEPS // 40}", "train.steps_per_epoch=40")
    common = (f"data.dataset={dataset}", "data.height=64", f"data.width={width}", *length)
    rows = [
        Row(f"{name}, {row.title}", row.config, (*start, *common, *row.settings))
        for name, start in (("from scratch", SCRATCH), ("pretrained", PRETRAINED))
        for row in _start_rows()
    ]
    return Group(title, folder, tuple(rows), settings, peer=True)


def _start_rows() -> Iterator[Row]:
    batch = f"train.batch_size={BATCH}"
    yield Row("labeled images only", "folder_ldt:small", (*JOINTLY, batch, "num_baseline_nets=1"))
    masks = ("generations=1", "num_baseline_nets=2", "num_nets=2", "report_top_k=1", "ensemble.members=2")
    # Black holes and background under them would be objects to a net that has seen photographs.
    mean_void = ("model.width_per_generation=(0.5,)", "mask.image_value=mean", "mask.label_value=void")
    yield Row("IM", "folder_im:small", (*masks, *mean_void, batch))
    # As many labeled images in a step as the others have.
    joint = (*JOINTLY, f"train.batch_size={2 * BATCH}")
    yield Row("CPS", "folder_cps:small", joint)
    yield Row(
        "FixMatch by a teacher", "folder_cps:small", (*joint, "method=fixmatch", "joint.labeler=teacher")
    )
    unimatch = (*joint, "method=unimatch")
    yield Row("UniMatch", "folder_cps:small", unimatch)
    blocked = ("joint.pixel_weighting=inconsistency", "joint.block_input=True")
    yield Row("UniMatch + IM", "folder_cps:small", (*unimatch, *blocked))


TABLES = {
    "study": lambda: (
        *_study("isic2017", "ISIC 2017", STUDY, ("published", "equal")),
        *_study("camvid", "CamVid", STUDY, ("",)),
        *_study("dsb2018", "DSB 2018", ("ldt", "im", "aim_pp"), ("",)),
    ),
    "joint": lambda: tuple(_joint()),
    "start": lambda: tuple(_start()),
}


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("data", "data", "Folder with a folder per dataset.")
    flags.DEFINE_string("root", "runs/tables", "Folder of the runs' folders.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of every line.")
    flags.DEFINE_list("only", [], "Datasets, by their folders; none: all of the table.")
    flags.DEFINE_integer("jobs", 0, "Runs at a time, as of launch.sweep.")
    flags.DEFINE_bool("dry_run", False, "Print the runs and stop.")


def main(arguments: list[str]) -> None:
    """Run what is not finished and print the table; UserError for what the caller can fix."""
    groups = select_groups(arguments, FLAGS.only)
    (name,) = arguments
    root = Path(FLAGS.root) / name
    data, seeds = Path(FLAGS.data), [int(seed) for seed in FLAGS.seeds]
    runs = [
        [(row, [make_run(group, row, seed, data, root) for seed in seeds]) for row in group.rows]
        for group in groups
    ]
    points = [point for rows in runs for _, of_row in rows for point in of_row]
    if FLAGS.dry_run:
        print("\n".join(f"{run_status.describe_state(point):8}  {point.name}" for point in points))
        return
    failed = local.run_sweep(points, FLAGS.jobs)
    lines = [render_group(group, rows, root) for group, rows in zip(groups, runs, strict=True)]
    text = "\n".join(line for part in lines for line in part)
    (root / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    if failed:
        raise TrainingError(run_status.summarize_failures(failed, len(points)))


def select_groups(arguments: Sequence[str], only: Sequence[str]) -> tuple[Group, ...]:
    """The groups of the table that is named.

    Raises:
        UserError: no table or none of that name, or a dataset that it does not have.
    """
    if len(arguments) != 1 or arguments[0] not in TABLES:
        raise UserError(
            f"{' '.join(arguments) or 'no table'}: expected one of {', '.join(TABLES)}",
            code=ErrorCode.UNKNOWN,
            field="table",
        )
    groups = TABLES[arguments[0]]()
    known = {group.folder for group in groups}
    if unknown := [folder for folder in only if folder not in known]:
        raise UserError(
            f"--only={unknown[0]}: not in this table, expected some of {', '.join(sorted(known))}",
            code=ErrorCode.UNKNOWN,
            field="--only",
        )
    return tuple(group for group in groups if not only or group.folder in only)


def make_run(group: Group, row: Row, seed: int, data: Path, root: Path) -> SweepRun:
    """The run of a line and a seed, in a folder named after both."""
    name = "-".join(_slug(text) for text in (group.title, row.title, f"seed={seed}"))
    settings = [f"data.dir={data / group.folder}", *row.settings, *group.settings, f"seed={seed}"]
    (point,) = make_points([row.config], [], settings, root)
    return SweepRun(name, root / name, point.flags, point.config)


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() or c in "=.%" else "_" for c in text.lower()).strip("_")


class Figures(NamedTuple):
    """What one run found."""

    test: float
    val: float
    extent: tuple[int, int]
    """Optimizer steps and images of each net of the last stage."""
    minutes: float
    """Of all stages of the run."""


def read_figures(run: RunRecord) -> Figures:
    """Of the candidate that is best on val, at the last generation."""
    metric, method = run.spec.primary_metric, run.method
    generation = run.generations[-1] if run.generations else None
    rows = run.results[(run.results["method"] == method) & (run.results["metric"] == metric)]
    rows = rows[(rows["rank"] == 1) & (rows["class_name"] == "")]
    if generation is not None:
        rows = rows[rows["generation"] == generation]
    by_split = dict(zip(rows["split"], rows["value"], strict=True))
    minutes = sum(stage.metadata.get("seconds", 0) for stage in run.stages) / 60
    extent = max(run.training_extents(method, generation), default=(0, 0))
    return Figures(by_split["test"], by_split["val"], extent, minutes)


def render_group(group: Group, rows: Sequence[tuple[Row, Sequence[SweepRun]]], root: Path) -> list[str]:
    """The group's table as lines of Markdown."""
    cells, left = [], []
    for row, points in rows:
        done = [read_figures(read_run(point.workdir)) for point in points if run_status.is_finished(point)]
        left += [point.name for point in points if not run_status.is_finished(point)]
        if done:
            cells.append((row.title, *_format_figures(done)))
    if group.peer:
        done = measure_peer(group, rows[0][1], root)
        if done:
            cells.append(("PyTorch U-Net, pretrained, labeled images only", *_format_figures(done)))
    head = ("", "test", "val", "steps × images", "minutes", "seeds")
    lines = [
        f"### {group.title}",
        "",
        table.format_row(head),
        table.format_row(["---"] * len(head)),
        *map(table.format_row, cells),
        "",
    ]
    if left:
        lines += [f"Not finished: {', '.join(left)}", ""]
    return lines


def measure_peer(group: Group, points: Sequence[SweepRun], root: Path) -> list[Figures]:
    """The PyTorch U-Net with the data and steps of a line's runs; empty where there is no PyTorch."""
    found = []
    for point in points:
        path = root / f"{_slug(group.title)}-peer-seed={point.config.seed}.json"
        if not path.exists():
            words = [f"--seeds={point.config.seed}", f"--steps={STEPS}", f"--batch={BATCH}"]
            command = [sys.executable, "-m", "benchmarks.pretrained", *point.flags, *words]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                table.say(f"{group.title}: no figure of the peer")
                continue
            path.write_text(done.stdout.splitlines()[-1], encoding="utf-8")
        (row,) = json.loads(path.read_text(encoding="utf-8"))["rows"]
        found.append(Figures(row["test"], row["val"], (STEPS, STEPS * BATCH), row["seconds"] / 60))
    return found


def _format_figures(done: Sequence[Figures]) -> tuple[str, ...]:
    steps, images = done[0].extent
    extent = f"{steps} × {images // steps}" if steps else NONE
    minutes = statistics.fmean(one.minutes for one in done)
    test, val = (table.format_mean([getattr(one, name) for one in done]) for name in ("test", "val"))
    return test, val, extent, f"{minutes:.0f}", str(len(done))


if __name__ == "__main__":
    define_flags()
    cli.run(main, positional=True)
