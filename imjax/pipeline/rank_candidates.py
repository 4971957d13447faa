"""What trained nets do on val and test: figures, ranking, rows of results.csv."""

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
from imjax.training.progress import Monitor


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What candidates do on one split."""

    labels: np.ndarray
    """uint8 `[member, n, ...]`."""
    figures: list[Figures]
    """Per member."""


def measure(context: Context, net: nn.Module, variables: Any) -> dict[str, Evaluation]:
    """Val and test figures of nets, numpy leaves `[member, ...]`."""
    return measured_by(context, lambda images: context.predicted_labels(net, variables, images))


def measured_by(context: Context, labels_of: Callable[[np.ndarray], np.ndarray]) -> dict[str, Evaluation]:
    """Val and test figures of whatever labels images or volumes, uint8 `[n, ..., c]` → `[member, n, ...]`."""
    out = {}
    for split in ("val", "test"):
        data = context.packed.splits[split]
        labels = labels_of(data.images)
        out[split] = Evaluation(
            labels,
            [
                evaluate.figures(context.packed.spec, truth=data.labels, prediction=one, names=data.names)
                for one in labels
            ],
        )
    return out


def decides(stage: TrainStage | JointStage) -> str:
    """Split on which a stage's candidates are ranked: val, or test for replication (methods.md 1.1, 1.12)."""
    return "test" if stage.select_on_test else "val"


def by_headline(context: Context, found: Evaluation, dropped: np.ndarray) -> list[int]:
    """Members, best by the dataset's headline figure first; those of bool `dropped` last."""
    headline = [figures[context.packed.spec.headline, ""] for figures in found.figures]
    return [int(i) for i in np.lexsort((-np.nan_to_num(headline, nan=-np.inf), dropped))]


def report(
    stage: TrainStage | JointStage,
    context: Context,
    measured: dict[str, Evaluation],
    ranked: list[int],
    monitor: Monitor,
) -> None:
    """Scalars of the stage: IM sizes of its best nets, and the best candidate's test figures."""
    for split, found in measured.items():
        best = found.labels[np.array(ranked[: stage.ensemble])]
        monitor.scalar(split, "inconsistent_pixels", context.inconsistent_pixels(best))
    figures, headline = measured["test"].figures[ranked[0]], context.packed.spec.headline
    for (metric, label), value in figures.items():
        if not label:
            monitor.scalar("test", metric, value)
    best = f"best on {decides(stage)} of {len(ranked)}"
    monitor.log(f"test {headline} {figures[headline, '']:.4f} ({best})")


def rows_of(
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
        for split, found in measured.items()
        for rank, member in enumerate(ranked, 1)
        for (metric, label), value in found.figures[member].items()
    ]
