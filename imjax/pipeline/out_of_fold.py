"""Figures of images by nets that never saw them: the result of a cross-validation."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imjax.data.pack import Split
from imjax.data.spec import DatasetSpec
from imjax.evaluation import metrics
from imjax.evaluation.held_out import SUMMARY, TABLE, WORST
from imjax.evaluation.per_image import METRICS
from imjax.inference.writers import write_table
from imjax.json_io import write_json
from imjax.pipeline import image_panels, worst_images
from imjax.pipeline.worst_images import Row
from imjax.training import evaluate

COLUMNS = ("image", "repeat", "fold", *METRICS)
CONFIDENCE, RESAMPLES = 0.95, 9999
"""Of the bootstrap interval."""
NUM_WORST = 8


@dataclasses.dataclass(frozen=True)
class Fold:
    """What a finished fold gives."""

    number: int
    """Counted from 1 through all repeats."""
    repeat: int
    test: Split
    labels: np.ndarray
    """uint8 `[n, ...]`, of the test images by the net ranked first."""
    num_val: int
    """Images by which it was ranked."""


def measure_folds(spec: DatasetSpec, folds: Sequence[Fold]) -> list[Row]:
    """Rows of `COLUMNS` for each source image and repeat, those of the lowest IoU first.

    IoU and Dice are those of `metrics.score_images`, and where that has none `spec.empty_iou`; pixels of all
    pieces of an image (crops, slices) count together.
    """
    rows = []
    for fold in folds:
        pieces = _group_pieces(fold)
        matrices = _confusion_matrices(spec, fold)
        merged = np.stack([matrices[indices].sum(0) for indices in pieces.values()])
        scores = _score(spec, merged)
        for source, iou, dice in zip(pieces, *scores, strict=True):
            row = {"image": source, "repeat": fold.repeat, "fold": fold.number}
            rows.append(row | {"iou": round(float(iou), 6), "dice": round(float(dice), 6)})
    # Of equal ones the first repeat.
    return worst_images.sort_worst_first(sorted(rows, key=lambda row: row["repeat"]))


def _group_pieces(fold: Fold) -> dict[str, list[int]]:
    """Places of the pieces of each source image."""
    pieces: dict[str, list[int]] = defaultdict(list)
    for i, source in enumerate(fold.test.sources):
        pieces[source].append(i)
    return pieces


def _confusion_matrices(
    spec: DatasetSpec, fold: Fold, pieces: Sequence[int] | slice = slice(None)
) -> np.ndarray:
    prediction = evaluate.redraw(spec, fold.labels[pieces])
    return evaluate.confusion_matrices(spec, truth=fold.test.labels[pieces], prediction=prediction)


def _score(spec: DatasetSpec, confusions: np.ndarray) -> metrics.Overlap:
    """IoU and Dice of each image, none of them nan."""
    means = metrics.score_images(spec, confusions).mean
    return metrics.Overlap(*(np.where(np.isnan(values), spec.empty_iou, values) for values in means))


def summarize(spec: DatasetSpec, rows: Sequence[Row], folds: Sequence[Fold]) -> dict[str, Any]:
    """Mean and bootstrap interval of each metric over images, and what they rest on.

    An image's repeats are averaged first: they are no further images, and would narrow the interval.
    """
    found: dict[str, Any] = {
        "images": len({row["image"] for row in rows}),
        "folds": len(folds),
        "repeats": max(fold.repeat for fold in folds),
        "confidence": CONFIDENCE,
        "fewest_val_images": min(fold.num_val for fold in folds),
    }
    for metric in METRICS:
        per_image = defaultdict(list)
        for row in rows:
            per_image[row["image"]].append(row[metric])
        means = np.array([np.mean(per_image[image]) for image in sorted(per_image)])
        low, high = bootstrap_interval(means)
        found[metric] = {"mean": float(means.mean()), "low": low, "high": high}
    return found


def bootstrap_interval(values: np.ndarray) -> tuple[float, float]:
    """Percentile interval of the mean of `[n]` numbers (Efron & Tibshirani 1993, chapter 13)."""
    if len(values) < 2:
        return float(values.mean()), float(values.mean())
    # Here, since it takes a second to load and runs without folds need it not.
    import scipy.stats

    found = scipy.stats.bootstrap(
        (values,), np.mean, confidence_level=CONFIDENCE, n_resamples=RESAMPLES, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


def write(workdir: Path, spec: DatasetSpec, folds: Sequence[Fold]) -> dict[str, Any]:
    """Write table, summary and pictures of the worst images to the run's folder; returns the summary."""
    rows = measure_folds(spec, folds)
    summary = summarize(spec, rows, folds)
    write_table(workdir / TABLE, rows, COLUMNS)
    worst = _choose_worst(rows)
    panels = _draw_worst(spec, worst, {fold.number: fold for fold in folds})
    image_panels.save(panels, workdir / WORST)
    write_json(workdir / SUMMARY, summary | {"worst": worst})
    return summary


def _choose_worst(rows: Sequence[Row]) -> list[Row]:
    """The first row of each of the worst images."""
    chosen: dict[str, Row] = {}
    for row in rows:
        chosen.setdefault(row["image"], row)
    return list(chosen.values())[:NUM_WORST]


def _draw_worst(spec: DatasetSpec, worst: Sequence[Row], folds: dict[int, Fold]) -> Mapping[str, np.ndarray]:
    """Panels of `worst_images.draw`; of an image of several pieces, of the worst of them."""
    chosen = []
    for row in worst:
        fold = folds[row["fold"]]
        pieces = _group_pieces(fold)[row["image"]]
        scores = _score(spec, _confusion_matrices(spec, fold, pieces))
        i = pieces[int(np.lexsort(scores[::-1])[0])]
        chosen.append((fold.test.images[i], fold.test.labels[i], fold.labels[i]))
    images, truth, found = (np.stack(arrays) for arrays in zip(*chosen, strict=True))
    return worst_images.draw(spec, images, truth, evaluate.redraw(spec, found))
