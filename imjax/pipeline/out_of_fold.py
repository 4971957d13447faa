"""Figures of images by nets that never saw them: the result of a cross-validation."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imjax.data.pack import Split
from imjax.data.palette import paint_labels, to_rgb
from imjax.data.spec import VOID, DatasetSpec
from imjax.evaluation.held_out import CONFUSED, EXTRA, METRICS, MISSED, SUMMARY, TABLE, WORST
from imjax.json_io import write_json
from imjax.pipeline.image_panels import plane

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


def measure_folds(spec: DatasetSpec, folds: Sequence[Fold]) -> list[dict[str, Any]]:
    """Rows of `COLUMNS` for each source image and repeat, those of the lowest IoU first.

    IoU and Dice are those of `score_image`; pixels of all pieces of an image (crops, slices) count together.
    """
    rows = []
    for fold in folds:
        pieces: dict[str, list[int]] = defaultdict(list)
        for i, source in enumerate(fold.test.sources):
            pieces[source].append(i)
        for source, indices in pieces.items():
            iou, dice = score_image(spec, np.asarray(fold.test.labels[indices]), fold.labels[indices])
            row = {"image": source, "repeat": fold.repeat, "fold": fold.number}
            rows.append(row | {"iou": round(iou, 6), "dice": round(dice, 6)})
    return sorted(rows, key=lambda row: (row["iou"], row["dice"], row["image"], row["repeat"]))


def score_image(spec: DatasetSpec, truth: np.ndarray, prediction: np.ndarray) -> tuple[float, float]:
    """Mean IoU and Dice over the classes of one image; without any object `spec.empty_iou`.

    Multiclass: over the classes in the truth, without a background, which is `miou` of results.csv. Binary:
    as `iou`. Multilabel: over the channels with an object in truth or prediction.

    Args:
        truth, prediction: uint8 labels `[n, ...]` of all its pieces.
    """
    values = []
    for true, found in _class_masks(spec, truth, prediction):
        both, total = int((true & found).sum()), int(true.sum()) + int(found.sum())
        # As in `metrics.miou_per_image`.
        counted = true.any() if spec.kind == "multiclass" else total > 0
        if counted:
            values.append((both / (total - both), 2 * both / total))
    if not values:
        return float(spec.empty_iou), float(spec.empty_iou)
    iou, dice = np.mean(values, 0)
    return float(iou), float(dice)


def _class_masks(
    spec: DatasetSpec, truth: np.ndarray, prediction: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Bool masks of truth and prediction of each class of objects, without void pixels."""
    if spec.kind == "multilabel":
        pairs = [(truth[..., i], prediction[..., i]) for i in range(len(spec.classes))]
        return [((t == 1), (p == 1) & (t != VOID)) for t, p in pairs]
    if spec.kind == "binary":
        return [(truth == 1, (prediction == 1) & (truth != VOID))]
    first = int(spec.background or spec.reserved)
    classes = range(first, spec.outputs)
    return [(truth == i, (prediction == i) & (truth != VOID)) for i in classes]


def summarize(spec: DatasetSpec, rows: Sequence[dict[str, Any]], folds: Sequence[Fold]) -> dict[str, Any]:
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
    temporary = workdir / f"{TABLE}.tmp"
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, workdir / TABLE)
    worst = _choose_worst(rows)
    panels = _draw_worst(spec, worst, {fold.number: fold for fold in folds})
    # numpy's stubs take any name for `allow_pickle`.
    np.savez_compressed(workdir / WORST, **panels)  # type: ignore[arg-type]
    write_json(workdir / SUMMARY, summary | {"worst": worst})
    return summary


def _choose_worst(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first row of each of the worst images."""
    chosen: dict[str, dict[str, Any]] = {}
    for row in rows:
        chosen.setdefault(row["image"], row)
    return list(chosen.values())[:NUM_WORST]


def _draw_worst(
    spec: DatasetSpec, worst: Sequence[dict[str, Any]], folds: dict[int, Fold]
) -> dict[str, np.ndarray]:
    """uint8 RGB `[n, h, w, 3]` by title: truth and prediction over the image, and the error map."""
    panels: dict[str, list[np.ndarray]] = defaultdict(list)
    for row in worst:
        fold = folds[row["fold"]]
        pieces = [i for i, source in enumerate(fold.test.sources) if source == row["image"]]
        # Of several pieces the worst.
        i = min(pieces, key=lambda i: score_image(spec, fold.test.labels[i : i + 1], fold.labels[i : i + 1]))
        image, truth, found = (
            plane(spec, np.asarray(a[i : i + 1])) for a in (fold.test.images, fold.test.labels, fold.labels)
        )
        shown = to_rgb(image, spec.channel_names)
        panels["image"] += [*shown]
        panels["truth over image"] += [*_overlay(shown, paint_labels(spec, truth))]
        panels["prediction over image"] += [*_overlay(shown, paint_labels(spec, found))]
        panels["error map"] += [*draw_errors(spec, truth, found)]
    return {title: np.stack(images) for title, images in panels.items()}


def _overlay(image: np.ndarray, painted: np.ndarray) -> np.ndarray:
    there = painted.any(-1, keepdims=True)
    return np.where(there, (image.astype(np.uint16) + painted) // 2, image).astype(np.uint8)


def draw_errors(spec: DatasetSpec, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """uint8 RGB `[n, h, w, 3]`: black where labels `[n, h, w]` or `[n, h, w, k]` agree or are void."""
    masks = _class_masks(spec, truth, prediction)
    extra = np.any([found & ~true for true, found in masks], 0)
    missed = np.any([true & ~found for true, found in masks], 0)
    void = (truth == VOID).all(-1) if spec.kind == "multilabel" else truth == VOID
    out = np.zeros((*extra.shape, 3), np.uint8)
    out[extra], out[missed], out[extra & missed] = EXTRA, MISSED, CONFUSED
    out[void] = 0
    return out
