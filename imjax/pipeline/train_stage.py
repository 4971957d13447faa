"""Training stages: candidate U-Nets, trained, ranked on val, measured on val and test."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from imjax import rng
from imjax.data.pack import PackedDataset
from imjax.data.spec import DatasetSpec
from imjax.data.splits import ImageCounts
from imjax.evaluation.result_names import ENSEMBLE
from imjax.inference.load_run import load_stage, write_model
from imjax.inference.trained_model import TrainedModel
from imjax.json_io import write_json
from imjax.models.factory import create_backbone
from imjax.pipeline import image_panels, initial_weights, per_image, training_sets
from imjax.pipeline.artifacts import ArtifactStore
from imjax.pipeline.rank_candidates import (
    measure,
    measure_ensemble,
    rank_candidates,
    report,
    result_rows,
    selection_split,
)
from imjax.pipeline.stages import EvalNetStage, JointStage, TrainStage
from imjax.training import memory
from imjax.training.budget import longest_training_set, steps_per_epoch
from imjax.training.checkpoints import Checkpoints
from imjax.training.data_loader import Examples
from imjax.training.loop import TrainResult, fit
from imjax.training.objective import Objective, consistency_objective, segmentation_objective
from imjax.training.progress import StageLogger
from imjax.training.runtime import Runtime, is_paired

PARAMETERS = "parameters.txt"
"""In the folder of a stage that trains: names, shapes and numbers of a candidate's weights."""


def run(
    stage: TrainStage,
    dataset: PackedDataset,
    artifacts: ArtifactStore,
    runtime: Runtime,
    monitor: StageLogger,
) -> dict[str, Any]:
    """Train the stage's candidates and write nets, ranking and result rows.

    Candidates are ranked by the dataset's primary metric, see `rank_candidates`. Rows of the nets that
    predict together by default follow under `ENSEMBLE`.

    Returns:
        Metadata for DONE.json.
    """
    pairs = training_set(stage, dataset, artifacts)
    monitor.log(f"{len(pairs['image'])} pairs of image and mask to train on")
    val = training_sets.of_split(dataset, "val")
    net = create_backbone(stage.model, dataset.spec)
    setting = (net, training_spec(stage, dataset.spec), val["image"].shape[1:3])
    phases = [pairs]
    if stage.consistency:
        assert stage.warm is not None, "the consistency loss continues the training of a net"
        warm = load_stage(artifacts.folder(stage.warm), dataset.spec, runtime).nets(1)
        best = jax.tree.map(lambda leaf: leaf[0], warm)
        objective = consistency_objective(*setting, stage.consistency, (best,), stage.recipe)
        phases.append({"image": dataset.splits["unlabeled"].images})
    else:
        start = initial_weights.load(stage.model, net, dataset.spec, setting[-1])
        objective = segmentation_objective(*setting, stage.recipe, start)
    counts = dataset.image_counts
    least = int(stage.least_share * sum(counts))
    fitted = fit_stage(stage, objective, phases, val, counts, artifacts, runtime, monitor, least_images=least)
    every = tuple(range(stage.num_nets))
    model = TrainedModel(stage.name, dataset.spec, stage.model, 0, fitted.variables, every, runtime)
    evaluations = measure(dataset, model)
    # The monitored value only picked each candidate's epoch; the metric ranks candidates (methods.md 1.1).
    order = rank_candidates(dataset.spec.primary_metric, evaluations[selection_split(stage)], fitted.dropped)
    ranked = [member for member in order if not fitted.dropped[member]]
    report(stage, dataset.spec, evaluations, ranked, monitor)
    model = dataclasses.replace(model, ranked=tuple(ranked))
    rows = result_rows(stage, dataset.spec.name, evaluations, order)
    if together := measure_ensemble(dataset, model):
        rows += result_rows(stage, dataset.spec.name, together, [0], ENSEMBLE)
        metric = dataset.spec.primary_metric
        value = together["test"].metrics[0][metric, ""]
        monitor.log(f"test {metric} {value:.4f} by the mean probability of the best {model.choose_nets(0)}")
    out = artifacts.folder_in_progress(stage.name)
    write_model(out, model, stage_metadata(stage, fitted))
    write_json(out / "rows.json", rows)
    labels = {split: evaluation.labels[ranked[0]] for split, evaluation in evaluations.items()}
    per_image.write_stage(dataset, labels, out)
    image_panels.write_training_panels(dataset, labels["test"], out, monitor)
    if stage.pseudo:

        def labels_of(images):
            return model.predict_labels(images)[0]

        image_panels.write_generation_panels(dataset, labels_of, runtime.batch_size, out, monitor)
    return {"pairs": len(pairs["image"])}


def stage_metadata(stage: TrainStage | JointStage, fitted: TrainResult) -> dict[str, Any]:
    """For train.json: whose nets these are, and how long they trained."""
    return {"method": stage.method, "generation": stage.generation} | fitted.metadata()


def training_spec(stage: TrainStage, spec: DatasetSpec) -> DatasetSpec:
    """The dataset's spec for the stage's loss: the consistency method scales no target (methods.md 1.5)."""
    # Of HeLa's positions the target is 3 in every other method.
    return dataclasses.replace(spec, target_scale=(1.0,)) if stage.consistency else spec


def fit_stage(
    stage: TrainStage | JointStage | EvalNetStage,
    objective: Objective,
    phases: Sequence[Examples | dict[str, Examples]],
    val: training_sets.Pairs,
    counts: ImageCounts,
    artifacts: ArtifactStore,
    runtime: Runtime,
    monitor: StageLogger,
    least_images: int = 0,
) -> TrainResult:
    """`fit` with the stage's name, options and checkpoints; shared by U-Nets, systems of them, and EvalNets.

    `phases` are the training sets of the objective's losses, or several by name that share every batch;
    `counts` are the dataset's; see `steps_per_epoch` for `least_images`.
    """
    images = [stage.train.batch_size // (len(part) if is_paired(part) else 1) for part in phases]
    members = runtime.place(
        stage.num_nets, lambda: _member_bytes(stage, objective, phases, val, runtime), math.gcd(*images)
    )
    if sharing := runtime.describe_sharing(members):
        monitor.log(sharing)
    write_parameter_table(objective, artifacts, stage.name, monitor)
    checkpoints = Checkpoints(artifacts.checkpoints(stage.name))
    sources = [runtime.load(examples, members) for examples in phases]
    sizes, longest = [source.count for source in sources], longest_training_set(counts)
    try:
        return fit(
            objective,
            stage.train,
            members,
            sources,
            runtime.load(val, members),
            steps=steps_per_epoch(stage.train, sizes, least_images, longest),
            seed=stage.seed,
            stage=stage.name,
            eval_batch_size=runtime.batch_size,
            checkpoints=checkpoints,
            stage_logger=monitor,
            drop=runtime.on_nan == "drop",
        )
    finally:
        checkpoints.close()


def _member_bytes(
    stage: TrainStage | JointStage | EvalNetStage,
    objective: Objective,
    phases: Sequence[Examples | dict[str, Examples]],
    val: training_sets.Pairs,
    runtime: Runtime,
) -> int:
    """Bytes that training one member takes."""

    def batch(examples: Any) -> Any:
        if is_paired(examples):
            share = stage.train.batch_size // len(examples)
            return {name: memory.shapes(part, share) for name, part in examples.items()}
        return memory.shapes(examples, stage.train.batch_size)

    val_batch = memory.shapes(val, runtime.batch_size)
    return memory.training_memory(objective, [batch(examples) for examples in phases], val_batch)


def write_parameter_table(
    objective: Objective, artifacts: ArtifactStore, stage: str, monitor: StageLogger
) -> None:
    """Write `parameters.txt` to a stage's folder: a line for each array of weights of one candidate.

    The log has only their number and the file's place, since the table is longer than a screen.
    """
    text, count = _tabulate_parameters(objective)
    (artifacts.folder_in_progress(stage) / PARAMETERS).write_text(text + "\n", encoding="utf-8")
    # Where the file is once the stage is done.
    path = artifacts.folder(stage) / PARAMETERS
    monitor.log(f"setting up networks of {count:,} parameters each, listed in {path}")


@functools.lru_cache(maxsize=32)
def _tabulate_parameters(objective: Objective) -> tuple[str, int]:
    """Table and number of the parameters, once per shape of net."""
    # Imported here, so that other users of this module need no clu.
    from clu import parameter_overview

    shapes = jax.eval_shape(objective.init, rng.key(0, "overview"))["params"]
    count = sum(array.size for array in jax.tree.leaves(shapes))
    return parameter_overview.get_parameter_overview(shapes, include_stats=False), count


def training_set(stage: TrainStage, dataset: PackedDataset, artifacts: ArtifactStore) -> training_sets.Pairs:
    """Labeled part, and for a generation the pseudo-labeled pairs (methods.md 1.2)."""
    parts = []
    if stage.pseudo:
        parts = _pseudo_labeled_pairs(stage, dataset, artifacts.folder(stage.pseudo))
    parts.append(training_sets.labeled(dataset, stage.start, stage.aldt, stage.seed))
    return training_sets.join(*parts)


def _pseudo_labeled_pairs(
    stage: TrainStage, dataset: PackedDataset, labels: Path
) -> list[training_sets.Pairs]:
    """Pairs of a label stage's folder, as they are and augmented, as the stage asks for."""
    data = np.load(labels / "labels.npz")
    keep = data["keep"]
    pairs = training_sets.blocked(
        dataset.splits["unlabeled"].images[keep], data["label"][keep], data["inconsistent"][keep],
        stage.mask,
    )  # fmt: skip
    parts = [pairs] if stage.originals else []
    if stage.strength:
        assert stage.generation is not None, "a baseline has no pseudo-labels"
        key = rng.key(stage.seed, "augment", stage.generation)
        free = dataset.spec.rotation_invariant
        parts.append(training_sets.augmented(pairs, data["copies"][keep], stage.strength, free, key))
    return parts
