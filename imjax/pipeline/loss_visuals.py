"""Panels of a joint method's loss: predictions, regions, pixel weights, similarity of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from imjax.data.palette import paint_labels, to_rgb
from imjax.data.spec import DatasetSpec
from imjax.pipeline import image_panels
from imjax.training.progress import StageLogger
from imjax.training.semi_supervised_objective import LossVisuals

REGION_COLORS = np.array(((0, 114, 178), (86, 180, 233), (213, 94, 0), (240, 228, 66)), np.uint8)
"""UC, US, DC, DS: blue where the predictions agree, orange and yellow where not; safe for the color-blind
(Okabe & Ito)."""


def write(
    spec: DatasetSpec,
    visuals: LossVisuals,
    titles: Sequence[str],
    out: Path,
    monitor: StageLogger,
    show_regions: bool,
) -> None:
    """Write `looks.npz`: uint8 RGB by title, of a few unlabeled images and of each of the batch's maps.

    Of volumes it is the middle slice of the patch that the step had. The regions are MetaSSL's: without it
    they would explain nothing (`show_regions`). `titles` are of the batch's unlabeled images.
    """
    images = {
        name: image_panels.plane(spec, x[: image_panels.COUNT])
        for name, x in visuals._asdict().items()
        if name != "similarity_maps"
    }
    regions = {}
    if show_regions:
        title = "region (blue: UC, light: US, orange: DC, yellow: DS)"
        regions[title] = REGION_COLORS[_channel(spec, images["region"])]
    panels = {
        "view": to_rgb(images["image"], spec.channel_names),
        "reference": paint_labels(spec, images["reference"]),
        "supervised": paint_labels(spec, images["supervised"]),
        **regions,
        "weight of the pixels": _gray(_channel(spec, images["weight"])),
    }
    side = max(images["image"].shape[1:3])
    maps = {
        title: _gray(_enlarged(np.asarray(values), side)[None])
        for title, values in visuals.similarity_maps.items()
    }
    image_panels.save(panels | maps, out / "looks.npz", titles[: image_panels.COUNT])
    monitor.images(panels | maps)


def _channel(spec: DatasetSpec, values: np.ndarray) -> np.ndarray:
    """`[n, h, w]`, of multilabel the first channel."""
    return values[..., 0] if spec.kind == "multilabel" else values


def _gray(values: np.ndarray) -> np.ndarray:
    """0..1 `[n, h, w]` → uint8 RGB."""
    return np.repeat((255 * np.clip(values, 0, 1)).round().astype(np.uint8)[..., None], 3, -1)


def _enlarged(values: np.ndarray, side: int) -> np.ndarray:
    """A small square map as large as an image, with its cells still visible."""
    return cv2.resize(values.astype(np.float32), (side, side), interpolation=cv2.INTER_NEAREST)
