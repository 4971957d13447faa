"""The images that a run's nets are worst at: their pictures, and the table of all images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from imjax.evaluation import per_image
from imjax.report.images import Strip, encode_picture
from imjax.report.load import RunRecord
from imjax.report.tables import Table, format_color, format_metric

MAX_IMAGES, MAX_ROWS = 300, 50
"""Of a run with more images than that, the table has so many rows."""
ERRORS = (
    (per_image.MISSED, "missed"),
    (per_image.EXTRA, "predicted where there is none"),
    (per_image.CONFUSED, "another class"),
)


def describe_worst_images(run: RunRecord) -> dict[str, Any]:
    """What the page shows of a run's worst images; empty where the run has no table of them."""
    rows, panels = run.load_worst_images()
    table = tabulate_images(run)
    if table is None:
        return {}
    first = int(run.spec.reserved or run.spec.background)
    classes = list(zip(map(format_color, run.spec.palette), run.spec.classes, strict=True))[first:]
    return {
        "net": _describe_net(run),
        # Of one class the colors say nothing more than the caption of the picture.
        "classes": classes if _has_several_classes(run) else [],
        "strips": build_strips(rows, panels),
        "legend": list_error_colors(run),
        "table": table,
    }


def list_error_colors(run: RunRecord) -> list[tuple[str, str]]:
    """(CSS color, meaning) of the error map; one class is never taken for another."""
    errors = ERRORS if _has_several_classes(run) else ERRORS[:2]
    return [*((format_color(rgb), name) for rgb, name in errors), ("#000000", "right, or not counted")]


def _describe_net(run: RunRecord) -> str:
    return f"the final network that is best on {'TEST' if run.select_on_test else 'val'}"


def _has_several_classes(run: RunRecord) -> bool:
    return run.spec.outputs - int(run.spec.reserved or run.spec.background) > 1


def build_strips(rows: Sequence[Mapping[str, Any]], panels: Mapping[str, np.ndarray]) -> list[Strip]:
    """A strip for each of the worst images.

    Args:
        rows: of their table, with `image`, `iou` and `dice`, and `fold` if it had one.
        panels: uint8 RGB images `[n, h, w, 3]` by title, in the order of the rows; may be missing.
    """
    strips = []
    for i, row in enumerate(rows if panels else ()):
        title = f"{row['image']}: IoU {row['iou']:.3f}, Dice {row['dice']:.3f}"
        title += f", fold {row['fold']}" if "fold" in row else ""
        pictures = [
            encode_picture(images[i], name, photograph=name != "error map") for name, images in panels.items()
        ]
        strips.append(Strip(title, tuple((picture,) for picture in pictures), large=True))
    return strips


def tabulate_images(run: RunRecord) -> Table | None:
    """IoU and Dice of each test image by the run's final nets, the worst first; None without a table."""
    images = run.per_image
    images = images[images["split"] == "test"]
    if images.empty:
        return None
    shown = images if len(images) <= MAX_IMAGES else images.head(MAX_ROWS)
    rows = [
        (row["image"], *(format_metric(None if pd.isna(row[m]) else row[m], 3) for m in per_image.METRICS))
        for row in shown.to_dict("records")
    ]
    net = _describe_net(run)
    caption = f"Test images by {net}, the worst first."
    if len(shown) < len(images):
        caption = f"The {len(shown)} worst of {len(images):,} test images by {net}."
    several = _has_several_classes(run)
    caption += " Means over the classes of each image." if several else ""
    caption += f" {per_image.TABLE} in the folder of the run has every image of test and val"
    caption += ", and the IoU of each class." if several else "."
    return Table(("image", *per_image.METRICS.values()), tuple(rows), caption)
