"""Run a plan: skip finished stages, run the others in order, commit each as a whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imjax.data import fingerprint
from imjax.data.pack import PackedDataset
from imjax.errors import Stopped
from imjax.log import logger
from imjax.pipeline import evalnet_stage, joint_stage, label_stage, per_image, results, train_stage
from imjax.pipeline.artifacts import ArtifactStore
from imjax.pipeline.count_steps import count_images
from imjax.pipeline.speeds import Speed, SpeedStore
from imjax.pipeline.stages import EvalNetStage, JointStage, LabelStage, PairsStage, Stage, TrainStage
from imjax.training import distributed, memory
from imjax.training.metric_writer import Writer
from imjax.training.progress import StageLogger
from imjax.training.runtime import Runtime

RunStage = Callable[[Any, PackedDataset, ArtifactStore, Runtime, StageLogger], dict[str, Any]]
"""Runs a stage and writes its artifacts to `artifacts.folder_in_progress`; returns metadata for DONE.json."""

RUN: dict[type, RunStage] = {
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
    stages: Sequence[Stage],
    dataset: PackedDataset,
    artifacts: ArtifactStore,
    runtime: Runtime,
    writer: Writer,
    stopping: Callable[[], bool] = lambda: False,
    speeds: SpeedStore | None = None,
) -> list[dict[str, Any]]:
    """Run every stage that is not done, or copy it from another run that has the same stage.

    Args:
        stages: the plan.
        dataset: packed.
        artifacts: folders of the run's stages.
        runtime: how nets run on this machine.
        writer: of the run's metrics.
        stopping: returns True once the run should save its state and stop; in all processes at the same call.
        speeds: where the speed of each stage is kept; None: nowhere.

    Returns:
        All rows of results.csv.

    Raises:
        Stopped: after the stage that was running saved itself.
        TrainingError: from a training stage, or out of memory.
        UserError: the packed data changed during a stage.
    """
    images = [count_images(stage, stages, dataset.image_counts) for stage in stages]
    for number, stage in enumerate(stages, 1):
        position = f"{number}/{len(stages)}"
        done, folder = _locate_stage(artifacts, stage.name)
        if not done and stopping():
            raise Stopped(f"before stage {stage.name}")
        if folder == artifacts.folder(stage.name):
            logger.info("stage %s %s: already done", position, stage.name)
            continue
        if reason := artifacts.outdated_reason(stage.name):
            logger.info("stage %s %s: outdated, because %s", position, stage.name, reason)
        if folder:
            # Metrics first: a kill in between leaves a stage that is not done and is copied again.
            writer.copy(folder.parents[1] / "metrics.jsonl", stage.name)
            artifacts.copy_stage_from(stage.name, folder)
            logger.info("stage %s %s: copied from %s", position, stage.name, folder)
            continue
        later_images = sum(images[number:])
        monitor = StageLogger(writer, stage.name, position, stage.generation, stopping, later_images)
        start = time.monotonic()
        try:
            _run_stage(stage, dataset, artifacts, runtime, monitor, writer)
        except Stopped:
            _keep_speed(speeds, stage, dataset, monitor, start, replace=False)
            raise
        _keep_speed(speeds, stage, dataset, monitor, start)
        results.write(artifacts.workdir, results.collect(artifacts, stages))
    per_image.publish(artifacts, stages)
    return results.collect(artifacts, stages)


def _keep_speed(
    speeds: SpeedStore | None,
    stage: Stage,
    dataset: PackedDataset,
    monitor: StageLogger,
    start: float,
    replace: bool = True,
) -> None:
    """Keep the speed of a stage that began at `start`; see `SpeedStore.write`."""
    if speeds is None or not distributed.is_first():
        return
    end = time.monotonic()
    if isinstance(stage, LabelStage | PairsStage):
        if replace:
            speeds.write(stage, Speed(sum(dataset.image_counts) / max(end - start, 1e-3), 0.0, 0.0))
    elif monitor.measured is not None:
        rate, first, last = monitor.measured
        speeds.write(stage, Speed(rate, first - start, end - last), replace)


def _locate_stage(store: ArtifactStore, name: str) -> tuple[bool, Path | None]:
    """Whether the run has the stage, and the folder that has it: the run's, or that of another run.

    The first process decides. The others have folders of their own, and copy what the run's folder has.
    """
    done = store.is_done(name)
    folder = store.folder(name) if done else store.find_reusable_stage(name)
    done, path = distributed.broadcast_from_first((done, folder and str(folder)))
    return done, path and Path(path)


def _run_stage(
    stage: Stage,
    dataset: PackedDataset,
    artifacts: ArtifactStore,
    runtime: Runtime,
    monitor: StageLogger,
    writer: Writer,
) -> None:
    start = time.monotonic()
    folder = artifacts.begin(stage.name)
    if not artifacts.checkpoints(stage.name).exists():
        # The stage starts at its first step: what an earlier attempt wrote would be there twice.
        writer.rewind(stage.name, -1)
    with memory.translate_oom(f"stage {stage.name}", ADVICE):
        metadata = RUN[type(stage)](stage, dataset, artifacts, runtime, monitor)
    fingerprint.check_unchanged(dataset.stamps)
    metadata |= monitor.metadata | {"seconds": round(time.monotonic() - start, 1)}
    # Metrics first: another run may copy the stage, with its metrics, as soon as it is committed.
    writer.flush()
    artifacts.commit(stage.name, folder, metadata)
    # The nets are in the stage's folder now.
    artifacts.remove_checkpoints(stage.name)
