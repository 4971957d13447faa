"""Trained nets on val and test: metrics, ranking, rows of results.csv."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from flax import linen as nn

from imjax.evaluation.metrics import Figures
from imjax.pipeline.context import Context
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


def measure(context: Context, net: nn.Module, variables: Any) -> dict[str, Evaluation]:
    """Metrics on val and test of nets, numpy leaves `[member, ...]`."""
    return measure_labels(context, lambda images: context.predicted_labels(net, variables, images))


def measure_labels(context: Context, labels_of: Callable[[np.ndarray], np.ndarray]) -> dict[str, Evaluation]:
    """Metrics on val and test of a function from images or volumes, uint8 `[n, ..., c]`, to labels.

    The labels are uint8 `[member, n, ...]`.
    """
    evaluations = {}
    spec = context.packed.spec
    for split in ("val", "test"):
        data = context.packed.splits[split]
        labels = labels_of(data.images)
        evaluations[split] = Evaluation(
            labels,
            [
                evaluate.figures(spec, truth=data.labels, prediction=prediction, names=data.names)
                for prediction in labels
            ],
        )
    return evaluations


def selection_split(stage: TrainStage | JointStage) -> str:
    """Split on which a stage's candidates are ranked: val, or test for replication (methods.md 1.1, 1.12)."""
    return "test" if stage.select_on_test else "val"


def rank_candidates(context: Context, evaluation: Evaluation, dropped: np.ndarray) -> list[int]:
    """Members, best by the dataset's primary metric first; those of bool `dropped` `[member]` last."""
    values = [metrics[context.packed.spec.primary_metric, ""] for metrics in evaluation.metrics]
    return [int(i) for i in np.lexsort((-np.nan_to_num(values, nan=-np.inf), dropped))]


def report(
    stage: TrainStage | JointStage,
    context: Context,
    measured: dict[str, Evaluation],
    ranked: list[int],
    monitor: StageLogger,
) -> None:
    """Write scalars of the stage: mask sizes of its best nets, and the best candidate's test metrics."""
    for split, evaluation in measured.items():
        best = evaluation.labels[np.array(ranked[: stage.ensemble])]
        monitor.scalar(split, "inconsistent_pixels", context.inconsistent_pixels(best))
    metrics, primary = measured["test"].metrics[ranked[0]], context.packed.spec.primary_metric
    for (metric, label), value in metrics.items():
        if not label:
            monitor.scalar("test", metric, value)
    best = f"best on {selection_split(stage)} of {len(ranked)}"
    monitor.log(f"test {primary} {metrics[primary, '']:.4f} ({best})")


def result_rows(
    stage: TrainStage | JointStage,
    context: Context,
    measured: dict[str, Evaluation],
    ranked: list[int],
    suffix: str = "",
) -> list[dict[str, Any]]:
    """Rows of results.csv: every candidate on val and test, under the method's name with a suffix."""
    return [
        {
            "dataset": context.packed.spec.name,
            "method": stage.method + suffix,
            "seed": context.config.seed,
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
