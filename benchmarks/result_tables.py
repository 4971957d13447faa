"""The tables of docs/results.md: all runs of one, side by side with the peer, and the table as Markdown.

  python -m benchmarks.result_tables study --data=data --root=runs/tables
  python -m benchmarks.result_tables start --data=data --root=runs/tables --only=isic2017 --seeds=0
  python -m benchmarks.result_tables start --data=data --lines="labeled images only,all labels" --steps=600
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
    "model.weights=imagenet", "model.width=1.0",
)  # fmt: skip
SCRATCH = ("recipe=strong", "model.backbone=unet_residual", "model.weights=none", "train.learning_rate=0.003")
JOINTLY = ("num_nets=1", "report_top_k=1", "ensemble.members=1")
"""One system, as the peer is one net."""
STEPS, BATCH = 1000, 8
"""Of each net of `start`, unless --steps says another number, and labeled images of a step."""
STEPS_PER_EPOCH = 40
PEER = "PyTorch, pretrained: labeled images only"


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
    peer: Row | None = None
    """Whose data and number of steps the PyTorch U-Net has; none: it is not a line."""


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


def _start(steps: int) -> Iterator[Group]:
    own = {"isic2017": "ISIC 2017", "dsb2018": "DSB 2018", "cvc_clinicdb": "CVC-ClinicDB", "camvid": "CamVid"}
    for folder, title in own.items():
        dataset = "folder" if folder == "cvc_clinicdb" else folder
        yield _start_group(
            title, folder, dataset, () if dataset == "folder" else ("data.label_fraction=0.1",), steps
        )
    scenes = ("data.label_fraction=0.1", "data.split=scenes")
    yield _start_group("NEU-Seg by scenes", "neu_seg", "neu_seg", scenes, steps)
    yield _start_group("ACDC", "acdc", "acdc", ("data.label_fraction=0.1",), steps)


def _start_group(title: str, folder: str, dataset: str, settings: tuple[str, ...], steps: int) -> Group:
    width = 80 if dataset == "camvid" else 64
    length = (f"train.epochs={steps // STEPS_PER_EPOCH}", f"train.steps_per_epoch={STEPS_PER_EPOCH}")
    common = (f"data.dataset={dataset}", "data.height=64", f"data.width={width}", *length)
    rows = [
        Row(f"{name}: {row.title}", row.config, (*start, *common, *row.settings))
        for name, start in (("from scratch", SCRATCH), ("pretrained", PRETRAINED))
        for row in _start_rows()
    ]
    return Group(title, folder, tuple(rows), settings, peer=rows[0]._replace(title=PEER))


def _start_rows() -> Iterator[Row]:
    batch = f"train.batch_size={BATCH}"
    one_net = (*JOINTLY, batch, "num_baseline_nets=1")
    yield Row("labeled images only", "folder_ldt:small", one_net)
    # What the labels of all images would give: more than that, no method can gain by labeling them.
    yield Row("all labels", "folder_ldt:small", (*one_net, "method=fdt"))
    masks = ("generations=1", "num_baseline_nets=2", "num_nets=2", "report_top_k=1", "ensemble.members=2")
    # Black holes and background under them would be objects to a net that has seen photographs.
    mean_void = ("model.width_per_generation=(1.0,)", "mask.image_value=mean", "mask.label_value=void")
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
    "study": lambda _: (
        *_study("isic2017", "ISIC 2017", STUDY, ("published", "equal")),
        *_study("camvid", "CamVid", STUDY, ("",)),
        *_study("dsb2018", "DSB 2018", ("ldt", "im", "aim_pp"), ("",)),
    ),
    "joint": lambda _: tuple(_joint()),
    "start": lambda steps: tuple(_start(steps)),
}
"""The groups of each table by its name, as a function of the optimizer steps of `start`."""


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    flags.DEFINE_string("data", "data", "Folder with a folder per dataset.")
    flags.DEFINE_string("root", "runs/tables", "Folder of the runs' folders.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of every line.")
    flags.DEFINE_list("only", [], "Datasets, by their folders; none: all of the table.")
    flags.DEFINE_list("lines", [], "Lines whose titles contain one of these words; none: all.")
    flags.DEFINE_integer("steps", STEPS, f"`start`: steps of each net, a multiple of {STEPS_PER_EPOCH}.")
    flags.DEFINE_integer("jobs", 0, "Runs at a time, as of launch.sweep.")
    flags.DEFINE_bool("dry_run", False, "Print the runs and stop.")


def main(arguments: list[str]) -> None:
    """Run what is not finished and print the table; UserError for what the caller can fix."""
    groups = select_groups(arguments, FLAGS.only, FLAGS.lines, FLAGS.steps)
    (name,) = arguments
    root = Path(FLAGS.root) / name
    data, seeds = Path(FLAGS.data), [int(seed) for seed in FLAGS.seeds]

    def make_runs(group: Group, row: Row) -> list[SweepRun]:
        return [make_run(group, row, seed, data, root) for seed in seeds]

    runs = [[(row, make_runs(group, row)) for row in group.rows] for group in groups]
    points = [point for rows in runs for _, of_row in rows for point in of_row]
    if FLAGS.dry_run:
        print("\n".join(f"{run_status.describe_state(point):8}  {point.name}" for point in points))
        return
    failed = local.run_sweep(points, FLAGS.jobs)
    peers = [make_runs(group, group.peer) if group.peer else [] for group in groups]
    lines = [render_group(*one, root) for one in zip(groups, runs, peers, strict=True)]
    text = "\n".join(line for part in lines for line in part)
    (root / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    if failed:
        raise TrainingError(run_status.summarize_failures(failed, len(points)))


def select_groups(
    arguments: Sequence[str], only: Sequence[str], lines: Sequence[str] = (), steps: int = STEPS
) -> tuple[Group, ...]:
    """The groups of the table that is named, with the lines whose titles contain one of `lines`.

    Raises:
        UserError: no table or none of that name, a dataset or a line that it does not have, or steps that
            do not fill epochs or are for a table whose presets have their own.
    """
    if steps < 1 or steps % STEPS_PER_EPOCH:
        raise UserError(
            f"--steps={steps}: expected a multiple of {STEPS_PER_EPOCH}, the steps of an epoch",
            code=ErrorCode.OUT_OF_RANGE,
            field="--steps",
        )
    if len(arguments) != 1 or arguments[0] not in TABLES:
        raise UserError(
            f"{' '.join(arguments) or 'no table'}: expected one of {', '.join(TABLES)}",
            code=ErrorCode.UNKNOWN,
            field="table",
        )
    if steps != STEPS and arguments[0] != "start":
        raise UserError(
            f"--steps={steps}: {arguments[0]} has the steps of its presets; expected --steps with start only",
            code=ErrorCode.CONFLICT,
            field="--steps",
        )
    groups = TABLES[arguments[0]](steps)
    known = {group.folder for group in groups}
    if unknown := [folder for folder in only if folder not in known]:
        raise UserError(
            f"--only={unknown[0]}: not in this table, expected some of {', '.join(sorted(known))}",
            code=ErrorCode.UNKNOWN,
            field="--only",
        )
    chosen = tuple(_select_lines(group, lines) for group in groups if not only or group.folder in only)
    if not any(group.rows or group.peer for group in chosen):
        raise UserError(
            f"--lines={','.join(lines)}: no line of this table has one of these words in its title",
            code=ErrorCode.UNKNOWN,
            field="--lines",
        )
    return chosen


def _select_lines(group: Group, lines: Sequence[str]) -> Group:
    def is_chosen(row: Row) -> bool:
        return not lines or any(word in row.title for word in lines)

    peer = group.peer if group.peer and is_chosen(group.peer) else None
    return group._replace(rows=tuple(filter(is_chosen, group.rows)), peer=peer)


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


def render_group(
    group: Group,
    rows: Sequence[tuple[Row, Sequence[SweepRun]]],
    peers: Sequence[SweepRun],
    root: Path,
) -> list[str]:
    """The group's table as lines of Markdown; `peers` are the runs whose data and steps the peer has."""
    cells, left = [], []
    for row, points in rows:
        done = [read_figures(read_run(point.workdir)) for point in points if run_status.is_finished(point)]
        left += [point.name for point in points if not run_status.is_finished(point)]
        if done:
            cells.append((row.title, *_format_figures(done)))
    if measured := measure_peer(group, peers, root):
        cells.append((PEER, *_format_figures(measured)))
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
        steps = point.config.train.epochs * point.config.train.steps_per_epoch
        path = root / f"{point.name}-steps={steps}.json"
        if not path.exists():
            words = [f"--seeds={point.config.seed}", f"--steps={steps}", f"--batch={BATCH}"]
            command = [sys.executable, "-m", "benchmarks.pretrained", *point.flags, *words]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                table.say(f"{group.title}: no figure of the peer")
                continue
            path.write_text(done.stdout.splitlines()[-1], encoding="utf-8")
        (row,) = json.loads(path.read_text(encoding="utf-8"))["rows"]
        found.append(Figures(row["test"], row["val"], (steps, steps * BATCH), row["seconds"] / 60))
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
