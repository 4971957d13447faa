"""Run a plan: skip what is done, run the rest in order, commit each stage as a whole."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imjax.data import fingerprint
from imjax.errors import Stopped
from imjax.log import logger
from imjax.pipeline import evalnet_stage, joint_stage, label_stage, results, train_stage
from imjax.pipeline.artifacts import ArtifactStore
from imjax.pipeline.context import Context
from imjax.pipeline.stages import EvalNetStage, JointStage, LabelStage, PairsStage, Stage, TrainStage
from imjax.training import distributed, memory
from imjax.training.metric_writer import Writer
from imjax.training.progress import Monitor

RUN: dict[type, Callable[[Any, Context, Path, Monitor], dict[str, Any]]] = {
    TrainStage: train_stage.run,
    JointStage: joint_stage.run,
    PairsStage: evalnet_stage.make_pairs,
    EvalNetStage: evalnet_stage.train,
    LabelStage: label_stage.run,
}

ADVICE = (
    "give the same command with a lower --config.nets_per_device (1: a net at a time on each device) or "
    "--config.max_device_dataset_mib=0; if that is not enough, a lower train.batch_size, eval_batch_size or "
    "image size in a new --workdir"
)


def run(
    stages: Sequence[Stage], context: Context, writer: Writer, stopping: Callable[[], bool] = lambda: False
) -> list[dict[str, Any]]:
    """Run every stage that is not done, or take it over from a run that did the same.

    Args:
        stages: the plan.
        context: configuration, data and folders.
        writer: of the run's figures.
        stopping: True once the run should save itself and stop; in all processes at the same call.

    Returns:
        All rows of results.csv.

    Raises:
        Stopped: after the stage that was running saved itself.
        TrainingError: from a training stage, or out of memory.
        UserError: the packed data changed during a stage.
    """
    for number, stage in enumerate(stages, 1):
        position = f"{number}/{len(stages)}"
        done, folder = _there(context.store, stage.name)
        if not done and stopping():
            raise Stopped(f"before stage {stage.name}")
        if folder == context.store.folder(stage.name):
            logger.info("stage %s %s: done before", position, stage.name)
            continue
        if folder:
            # Figures first: a kill in between leaves a stage that is not done, and is taken over anew.
            writer.copy(folder.parents[1] / "metrics.jsonl", stage.name)
            context.store.take_over(stage.name, folder)
            logger.info("stage %s %s: the same as %s, taken over", position, stage.name, folder)
            continue
        monitor = Monitor(writer, stage.name, position, stage.generation, stopping)
        _one(stage, context, monitor, writer)
        results.write(context.store.workdir, results.collect(context.store, stages))
    return results.collect(context.store, stages)


def _there(store: ArtifactStore, name: str) -> tuple[bool, Path | None]:
    """Whether the run has the stage, and the folder that has it: the run's, or that of another run.

    The first process says. The others, which have folders of their own, take over what the run's has, too.
    """
    done = store.is_done(name)
    found = store.folder(name) if done else store.lender(name)
    done, text = distributed.first_says((done, found and str(found)))
    return done, text and Path(text)


def _one(stage: Stage, context: Context, monitor: Monitor, writer: Writer) -> None:
    start = time.monotonic()
    folder = context.store.begin(stage.name)
    if not context.store.checkpoints(stage.name).exists():
        # From the start: whatever an attempt before has written of it would be there twice.
        writer.rewind(stage.name, -1)
    with memory.explained(f"stage {stage.name}", ADVICE):
        facts = RUN[type(stage)](stage, context, folder, monitor)
    fingerprint.check_unchanged(context.packed.stamps)
    facts |= monitor.facts | {"seconds": round(time.monotonic() - start, 1)}
    # Figures first: a stage that is there may be taken over by another run at once, with all its figures.
    writer.flush()
    context.store.commit(stage.name, folder, facts)
    # The nets are in the stage's folder now.
    shutil.rmtree(context.store.checkpoints(stage.name), ignore_errors=True)
