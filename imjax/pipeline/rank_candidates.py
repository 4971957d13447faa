"""Trained nets on val and test: metrics, ranking, rows of results.csv."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from imjax.config.schema import Mask
from imjax.data.pack import PackedDataset
from imjax.data.spec import DatasetSpec
from imjax.evaluation import image_counts
from imjax.evaluation.metrics import Figures
from imjax.inference.trained_model import TrainedModel
from imjax.methods.generational.inconsistency_masks import consensus
from imjax.ops.batched_map import map_images
from imjax.pipeline.stages import JointStage, TrainStage
from imjax.training import evaluate
from imjax.training.progress import StageLogger


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Labels and metrics of candidates on one split."""

    labels: np.ndarray
    """uint8 `[member, n, ...]`."""
    metrics: list[Figures]
    """Per member."""


def measure(dataset: PackedDataset, model: TrainedModel) -> dict[str, Evaluation]:
    """Metrics of each net on val and test."""
    return measure_labels(dataset, model.predict_labels)


def measure_labels(
    dataset: PackedDataset, labels_of: Callable[[np.ndarray], np.ndarray]
) -> dict[str, Evaluation]:
    """Metrics on val and test of a function from images or volumes, uint8 `[n, ..., c]`, to labels.

    The labels are uint8 `[member, n, ...]`.
    """
    evaluations = {}
    spec = dataset.spec
    for split in ("val", "test"):
        data = dataset.splits[split]
        labels = labels_of(data.images)
        evaluations[split] = Evaluation(
            labels,
            [
                evaluate.figures(
                    spec,
                    truth=data.labels,
                    prediction=prediction,
                    names=data.names,
                    instances=data.instances,
                )
                for prediction in labels
            ],
        )
    return evaluations


def measure_ensemble(dataset: PackedDataset, model: TrainedModel) -> dict[str, Evaluation] | None:
    """Metrics on val and test of the nets that predict together by default; None where that is one net."""
    size = model.choose_nets(0)
    if size == 1:
        return None
    together = dataclasses.replace(model, ranked=model.ranked[:size])
    return measure_labels(dataset, lambda images: together.predict_ensemble_labels(images, size))


def selection_split(stage: TrainStage | JointStage) -> str:
    """Split on which a stage's candidates are ranked: val, or test for replication (methods.md 1.1, 1.12)."""
    return "test" if stage.select_on_test else "val"


def rank_candidates(primary_metric: str, evaluation: Evaluation, dropped: np.ndarray) -> list[int]:
    """Members, best by the dataset's primary metric first; those of bool `dropped` `[member]` last."""
    values = [metrics[primary_metric, ""] for metrics in evaluation.metrics]
    return [int(i) for i in np.lexsort((-np.nan_to_num(values, nan=-np.inf), dropped))]


def report(
    stage: TrainStage | JointStage,
    spec: DatasetSpec,
    measured: dict[str, Evaluation],
    ranked: list[int],
    monitor: StageLogger,
) -> None:
    """Write scalars of the stage: mask sizes of its best nets, and the best candidate's test metrics."""
    for split, evaluation in measured.items():
        best = evaluation.labels[np.array(ranked[: stage.ensemble])]
        monitor.scalar(split, "inconsistent_pixels", inconsistent_pixels(spec, stage.mask, best))
    metrics, primary = measured["test"].metrics[ranked[0]], spec.primary_metric
    for (metric, label), value in metrics.items():
        if not label:
            monitor.scalar("test", metric, value)
    best = f" by the best of {len(ranked)} networks on {selection_split(stage)}" if len(ranked) > 1 else ""
    monitor.log(f"test {primary} {metrics[primary, '']:.4f}{best}")
    if empty := image_counts.describe_empty_images(spec, metrics):
        monitor.log(f"test: {empty}")
    if failures := image_counts.describe_failures(metrics):
        monitor.log(f"test: {failures}")


def inconsistent_pixels(spec: DatasetSpec, mask: Mask, labels: np.ndarray) -> float:
    """Mean size of the inconsistency mask of members' labels `[member, n, ...]`.

    Of volumes, voxels of a whole one; its slices are taken one by one, as morphology acts in their plane.
    """
    slices = 1
    if spec.dims == 3:
        slices = labels.shape[2]
        labels = labels.reshape(len(labels), -1, *labels.shape[3:])
    sizes = map_images(_mask_size, np.moveaxis(labels, 0, 1), spec=spec, mask=mask)
    return slices * float(sizes.mean())


def _mask_size(labels: jax.Array, *, spec: DatasetSpec, mask: Mask) -> jax.Array:
    return consensus(spec, mask, labels).size


def result_rows(
    stage: TrainStage | JointStage,
    dataset: str,
    measured: dict[str, Evaluation],
    ranked: list[int],
    suffix: str = "",
) -> list[dict[str, Any]]:
    """Rows of results.csv: every candidate on val and test, under the method's name with a suffix."""
    return [
        {
            "dataset": dataset,
            "method": stage.method + suffix,
            "seed": stage.seed,
            "generation": stage.generation,
            "member": member,
            "rank": rank,
            "split": split,
            "metric": metric,
            "class": label,
            "value": round(value, 6) if np.isfinite(value) else None,
        }
        for split, evaluation in measured.items()
        for rank, member in enumerate(ranked, 1)
        for (metric, label), value in evaluation.metrics[member].items()
    ]
