"""The result of a cross-validation: figures of images that no net had seen, and the worst of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from imjax.evaluation import held_out
from imjax.report.load import RunRecord
from imjax.report.worst_images import build_strips, list_error_colors


def describe_held_out(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """For each run with folds: the result in a sentence, and a strip for each of the worst images."""
    parts = []
    for run in runs:
        if run.held_out:
            text = held_out.describe(run.held_out)
            parts.append(
                {
                    "sentence": f"{text[0].upper()}{text[1:]}. {held_out.TABLE} has every image.",
                    "legend": list_error_colors(run),
                    "worst": build_strips(run.held_out.get("worst", []), run.load_held_out_panels()),
                }
            )
    return parts
