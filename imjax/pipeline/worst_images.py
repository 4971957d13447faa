"""Pictures of the images that nets are worst at: truth and prediction over the image, and the errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imjax.data import outlines
from imjax.data.palette import paint_labels, to_rgb
from imjax.data.spec import VOID, DatasetSpec
from imjax.evaluation.per_image import CONFUSED, EXTRA, MISSED
from imjax.pipeline.image_panels import plane

Row = dict[str, Any]
SIDE_PER_LINE = 128
"""Pixels of an image's side for each pixel that an outline is wide."""


def sort_worst_first(rows: Sequence[Row]) -> list[Row]:
    """Rows by `iou`, `dice` and `image`; those without a figure last."""
    missing = float("inf")
    return sorted(
        rows,
        key=lambda row: (*(missing if row[m] is None else row[m] for m in ("iou", "dice")), row["image"]),
    )


def draw(
    spec: DatasetSpec, images: np.ndarray, truth: np.ndarray, prediction: np.ndarray
) -> Mapping[str, np.ndarray]:
    """Panels of each image, uint8 RGB `[n, h, w, 3]` by title; of a volume, of its middle slice.

    Args:
        spec: of the dataset.
        images: uint8 `[n, h, w, c]`, volumes `[n, d, h, w, c]`.
        truth, prediction: uint8 labels of these.
    """
    shown = to_rgb(plane(spec, images), spec.channel_names)
    truth, prediction = plane(spec, truth), plane(spec, prediction)
    return {
        "image": shown,
        "ground truth (outline) and prediction (filled)": draw_outlines(
            spec, fill_objects(spec, shown, prediction), truth
        ),
        "error map": draw_errors(spec, truth, prediction),
    }


def fill_objects(spec: DatasetSpec, shown: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """RGB images with the objects of labels painted over them, half transparent; no background."""
    there = np.any(class_masks(spec, labels), 0)[..., None]
    painted = (shown.astype(np.uint16) + paint_labels(spec, labels)) // 2
    return np.where(there, painted, shown).astype(np.uint8)


def draw_outlines(spec: DatasetSpec, shown: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Outlines of the objects in labels `[n, h, w]` or `[n, h, w, k]`, on a copy of RGB images.

    See `outlines.draw_outlines`.
    """
    masks, width = class_masks(spec, labels), max(1, min(shown.shape[1:3]) // SIDE_PER_LINE)
    colors = spec.palette[-len(masks) :]
    return np.stack(
        [
            outlines.draw_outlines(image, list(zip(colors, (mask[i] for mask in masks), strict=True)), width)
            for i, image in enumerate(shown)
        ]
    )


def draw_errors(spec: DatasetSpec, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """uint8 RGB `[n, h, w, 3]`: black where labels `[n, h, w]` or `[n, h, w, k]` agree or are void."""
    # Of several labels each channel has void pixels of its own.
    void = truth == VOID
    found = class_masks(spec, np.where(void, np.uint8(VOID), prediction))
    pairs = list(zip(class_masks(spec, truth), found, strict=True))
    extra = np.any([found & ~true for true, found in pairs], 0)
    missed = np.any([true & ~found for true, found in pairs], 0)
    out = np.zeros((*extra.shape, 3), np.uint8)
    out[extra], out[missed], out[extra & missed] = EXTRA, MISSED, CONFUSED
    return out


def class_masks(spec: DatasetSpec, labels: np.ndarray) -> list[np.ndarray]:
    """Bool mask of each class that is an object, in the order of the last entries of `spec.classes`."""
    if spec.kind == "multilabel":
        return [labels[..., i] == 1 for i in range(spec.outputs)]
    if spec.kind == "binary":
        return [labels == 1]
    return [labels == i for i in range(int(spec.background or spec.reserved), spec.outputs)]
