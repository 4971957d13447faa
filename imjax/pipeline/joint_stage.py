"""Joint training as a stage: systems of nets, trained side by side, measured per net and per system."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from imjax import rng
from imjax.data import volume_box
from imjax.data.pack import PackedDataset
from imjax.data.spec import DatasetSpec
from imjax.evaluation.result_names import ENSEMBLE
from imjax.inference.load_run import write_model
from imjax.inference.trained_model import TrainedModel
from imjax.json_io import write_json
from imjax.log import logger
from imjax.methods.registry import JOINT_METHODS
from imjax.models.factory import create_backbone
from imjax.pipeline import image_panels, initial_weights, loss_visuals, per_image, training_sets
from imjax.pipeline.artifacts import ArtifactStore
from imjax.pipeline.rank_candidates import (
    measure,
    measure_labels,
    rank_candidates,
    report,
    result_rows,
    selection_split,
)
from imjax.pipeline.stages import JointStage
from imjax.pipeline.train_stage import fit_stage, stage_metadata
from imjax.training.data_loader import Examples
from imjax.training.progress import StageLogger
from imjax.training.runtime import Runtime
from imjax.training.semi_supervised_objective import System, joint_objective, make_loss_visualizer, split_nets


def run(
    stage: JointStage,
    dataset: PackedDataset,
    artifacts: ArtifactStore,
    runtime: Runtime,
    monitor: StageLogger,
) -> dict[str, Any]:
    """Train the stage's systems and write nets, ranking and result rows.

    Members of the rows are single nets, those of one system next to each other; rows of whole systems follow
    under `ENSEMBLE`. Nets are ranked on val by the dataset's primary metric.

    Returns:
        Metadata for DONE.json.
    """
    spec, system = dataset.spec, make_system(stage, dataset.spec)
    val = _validation_set(stage, dataset)
    examples = _training_examples(stage, dataset, monitor)
    size = val["image"].shape[1:-1]
    start = initial_weights.load(stage.model, system.net, spec, size)
    objective = joint_objective(system, size, start)
    fitted = fit_stage(stage, objective, [examples], val, dataset.image_counts, artifacts, runtime, monitor)
    model = _trained_model(stage, spec, system, fitted.variables, runtime)
    evaluations = measure(dataset, model)
    dropped = np.repeat(fitted.dropped, system.num_nets)
    order = rank_candidates(spec.primary_metric, evaluations[selection_split(stage)], dropped)
    ranked = [net for net in order if not dropped[net]]
    report(stage, spec, evaluations, ranked, monitor)
    rows = result_rows(stage, spec.name, evaluations, order)
    if system.num_nets > 1:
        voted = measure_labels(dataset, lambda images: model.predict_ensemble_labels(images, system.num_nets))
        voted_order = rank_candidates(spec.primary_metric, voted[selection_split(stage)], fitted.dropped)
        rows += result_rows(stage, spec.name, voted, voted_order, ENSEMBLE)
    out = artifacts.folder_in_progress(stage.name)
    # Nets are ranked, systems are trained: the report needs the number of nets to map one to the other.
    metadata = stage_metadata(stage, fitted) | {"nets": system.num_nets}
    write_model(out, dataclasses.replace(model, ranked=tuple(ranked)), metadata)
    write_json(out / "rows.json", rows)
    labels = {split: evaluation.labels[ranked[0]] for split, evaluation in evaluations.items()}
    per_image.write_stage(dataset, labels, out)
    image_panels.write_training_panels(dataset, labels["test"], out, monitor)
    if system.method.num_pairs(stage.joint):
        best = jax.tree.map(lambda leaf: leaf[ranked[0] // system.num_nets], fitted.variables)
        visuals = jax.jit(make_loss_visualizer(system))(best, *_first_batch(stage, examples))
        show_regions = stage.joint.pixel_weighting == "metassl"
        titles = _first_titles(stage, dataset)
        loss_visuals.write(spec, jax.tree.map(np.asarray, visuals), titles, out, monitor, show_regions)
    return {"pairs": sum(dataset.image_counts)}


def make_system(stage: JointStage, spec: DatasetSpec) -> System:
    """The nets and the method of a stage."""
    method = JOINT_METHODS[stage.joint_method]
    net = create_backbone(stage.model, spec, method.auxiliary_decoders)
    return System(net, method, stage.joint, spec, stage.recipe)


def _trained_model(
    stage: JointStage, spec: DatasetSpec, system: System, variables: Any, runtime: Runtime
) -> TrainedModel:
    """Every net of every system, those of one system next to each other."""
    nets = split_nets(variables, system.num_nets)
    weights = jax.tree.map(lambda *leaves: np.stack(leaves, 1).reshape(-1, *leaves[0].shape[1:]), *nets)
    every = tuple(range(stage.num_nets * system.num_nets))
    auxiliaries, joint = system.method.auxiliary_decoders, stage.joint
    return TrainedModel(
        stage.name, spec, stage.model, auxiliaries, weights, every, runtime,
        patch=joint.patch, patch_overlap=joint.predict_overlap,
    )  # fmt: skip


def _training_examples(
    stage: JointStage, dataset: PackedDataset, monitor: StageLogger
) -> dict[str, Examples]:
    examples: dict[str, Examples] = {
        "labeled": training_sets.of_split(dataset, "labeled"),
        "unlabeled": {"image": dataset.splits["unlabeled"].images},
    }
    labeled, unlabeled = (len(part["image"]) for part in examples.values())
    monitor.log(f"{labeled} labeled and {unlabeled} unlabeled images")
    if not unlabeled:
        # Half of each batch has to be unlabeled, because the method's unlabeled losses need images.
        logger.warning("%s: no image is unlabeled; the labeled ones stand in, without labels", stage.name)
        examples["unlabeled"] = {"image": examples["labeled"]["image"]}
    return examples


def _validation_set(stage: JointStage, dataset: PackedDataset) -> training_sets.Pairs:
    """Val as training evaluates it: whole images, and of each volume a patch from the middle.

    One patch per volume is as quick as an image, is the same at every epoch, and hardly ever lacks an object,
    where a soft IoU would mean nothing. Nets are ranked on the whole volumes afterwards.
    """
    val = training_sets.of_split(dataset, "val")
    if not stage.joint.patch:
        return val
    parts = [
        volume_box.pad_or_crop(*pair, stage.joint.patch)
        for pair in zip(val["image"], val["label"], strict=True)
    ]
    return dict(zip(("image", "label"), map(np.stack, zip(*parts, strict=True)), strict=True))


def _first_batch(stage: JointStage, examples: dict[str, Any]) -> tuple[dict, jax.Array]:
    """A batch of the first images, and a key: the same images for every method."""
    half = stage.train.batch_size // 2
    batch = {
        name: {key: np.asarray(array[np.arange(half) % len(array)]) for key, array in part.items()}
        for name, part in examples.items()
    }
    return batch, rng.key(stage.seed, "looks")


def _first_titles(stage: JointStage, dataset: PackedDataset) -> list[str]:
    """What people know the unlabeled images of `_first_batch` by."""
    titles = dataset.splits["unlabeled"].titles or dataset.splits["labeled"].titles
    return [titles[i % len(titles)] for i in range(stage.train.batch_size // 2)]
