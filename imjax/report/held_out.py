"""The result of a cross-validation: figures of images that no net had seen, and the worst of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from imjax.evaluation import held_out
from imjax.report.images import Strip, encode_picture
from imjax.report.load import RunRecord
from imjax.report.tables import format_color

ERRORS = (
    (held_out.MISSED, "missed"),
    (held_out.EXTRA, "predicted where there is none"),
    (held_out.CONFUSED, "another class"),
)


def describe_held_out(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """For each run with folds: the result in a sentence, and a strip for each of the worst images."""
    parts = []
    for run in runs:
        if run.held_out:
            text = held_out.describe(run.held_out)
            parts.append(
                {
                    "sentence": f"{text[0].upper()}{text[1:]}. {held_out.TABLE} has every image.",
                    "legend": [(format_color(rgb), name) for rgb, name in ERRORS],
                    "worst": _build_strips(run),
                }
            )
    return parts


def _build_strips(run: RunRecord) -> list[Strip]:
    panels = run.load_worst()
    strips = []
    for i, row in enumerate(run.held_out.get("worst", []) if panels else []):
        title = f"{row['image']}: IoU {row['iou']:.3f}, Dice {row['dice']:.3f}, fold {row['fold']}"
        pictures = [
            encode_picture(images[i], title if name == "image" else name, name != "error map")
            for name, images in panels.items()
        ]
        # The name must not be lost on a narrow screen, so it is the caption of the picture itself.
        strips.append(Strip(title, (tuple(pictures[:2]), *((picture,) for picture in pictures[2:]))))
    return strips
