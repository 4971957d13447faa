"""A cross-validation: a run for each fold, then the final nets on all images with labels.

Each fold is a run of its own in `D/fold_N`, with everything that a run has, so that a stopped one goes on
where it was. The final nets are those of `D` itself; its results.csv has the mean over the folds, since what
these nets give on images that they learned from says nothing.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imjax.config.schema import Config
from imjax.errors import ErrorCode, UserError
from imjax.evaluation import held_out
from imjax.evaluation.image_counts import COUNTS
from imjax.log import logger
from imjax.pipeline import out_of_fold, results
from imjax.pipeline.image_panels import HELD_OUT
from imjax.pipeline.out_of_fold import Fold
from imjax.pipeline.run import Outcome, run_training
from imjax.pipeline.stages import Stage, find_final_stage
from imjax.training import distributed

Row = dict[str, Any]


def run_cross_validation(
    config: Config,
    stages: Sequence[Stage],
    workdir: Path,
    reuse: Sequence[Path] = (),
    *,
    finish: Callable[[Outcome], None] = lambda outcome: None,
    **how: Any,
) -> Outcome | None:
    """Run every fold that is not done, then the final nets; see `run.run_training`, whose arguments it takes.

    `finish` is called once, after the final nets, with the rows of results.csv and a line on the images that
    no net had seen.

    Raises:
        UserError: also for several processes.
    """
    if distributed.arguments(how.get("pod", False), os.environ) is not None:
        raise UserError(
            f"config key 'data.folds' is {config.data.folds} in a run of several processes; expected a "
            "single process, or a run for each fold (data.fold)",
            code=ErrorCode.UNSUPPORTED,
            field="data.folds",
        )
    folds: list[tuple[Outcome, Fold]] = []
    for number in range(1, config.data.num_folds + 1):
        logger.info("fold %d of %d", number, config.data.num_folds)
        outcome = run_training(_fold(config, number), stages, fold_folder(workdir, number), reuse, **how)
        assert outcome is not None, "a single process is the first"
        folds.append((outcome, _load_fold(config.data.folds, stages, outcome, number)))
    logger.info("final nets, on all images with labels: what is logged of val and test is of the same images")
    done: list[Outcome] = []

    def finish_all(outcome: Outcome) -> None:
        rows = average_rows([of_fold.rows for of_fold, _ in folds])
        results.write(outcome.workdir, rows)
        text = held_out.describe(out_of_fold.write(outcome.workdir, outcome.spec, [f for _, f in folds]))
        logger.info("%s", text)
        done.append(dataclasses.replace(outcome, rows=rows, note=text))
        finish(done[0])

    run_training(config, stages, workdir, reuse, finish=finish_all, **how)
    return done[0]


def fold_folder(workdir: Path, number: int) -> Path:
    """Folder of a fold's run."""
    return workdir / f"fold_{number}"


def _fold(config: Config, number: int) -> Config:
    return dataclasses.replace(config, data=dataclasses.replace(config.data, fold=number))


def _load_fold(folds: int, stages: Sequence[Stage], outcome: Outcome, number: int) -> Fold:
    """What a finished fold's last nets gave on its test images."""
    final = find_final_stage(stages)
    folder = f"{stages.index(final):02d}_{final.name}"
    labels = np.load(outcome.workdir / "stages" / folder / HELD_OUT)["labels"]
    splits = outcome.packed.splits
    return Fold(number, (number - 1) // folds + 1, splits["test"], labels, len(splits["val"].names))


def average_rows(runs: Sequence[Sequence[Row]]) -> list[Row]:
    """Rows of results.csv of several folds as those of one run: means over their images, numbers added up.

    Nets are matched by their rank, which also becomes their number: those of two folds have nothing else in
    common. A figure that a fold lacks (a class that its images do not have) is the mean over the others, and
    one that all lack has no row.
    """
    groups: dict[tuple[Any, ...], list[tuple[Row, float]]] = {}
    for rows in runs:
        images = {_net(row): row["value"] for row in rows if row["metric"] == "images" and not row["class"]}
        for row in rows:
            key = (*_net(row), row["metric"], row["class"])
            if row["value"] is not None:
                groups.setdefault(key, []).append((row, images.get(_net(row), 1.0)))
    out = []
    for group in groups.values():
        first = group[0][0]
        values, weights = [row["value"] for row, _ in group], [weight for _, weight in group]
        total = sum(values) if first["metric"] in COUNTS else round(float(np.average(values, 0, weights)), 6)
        out.append(first | {"member": first["rank"] - 1, "value": total})
    return out


def _net(row: Row) -> tuple[Any, ...]:
    return row["method"], row["generation"], row["rank"], row["split"]
