"""What run and report agree on about a cross-validation: its files, and its result as a sentence.

The report reads it, so nothing here loads JAX.
"""

from __future__ import annotations

from typing import Any

from imjax.evaluation.per_image import METRICS

TABLE, SUMMARY, WORST = "out_of_fold.csv", "out_of_fold.json", "out_of_fold_worst.npz"
"""In the folder of the run."""


def describe(summary: dict[str, Any]) -> str:
    """A summary of `pipeline.out_of_fold` as one line: `out of fold: IoU 0.7134 (0.6201 to 0.7915), …`."""
    parts = []
    for metric, name in METRICS.items():
        found = summary[metric]
        parts.append(f"{name} {found['mean']:.4f} ({found['low']:.4f} to {found['high']:.4f})")
    repeats = f", {summary['repeats']} times" if summary["repeats"] > 1 else ""
    folds = summary["folds"] // summary["repeats"]
    return (
        f"out of fold: {', '.join(parts)}: mean over {summary['images']} images and its "
        f"{summary['confidence']:.0%} bootstrap interval, {folds} folds{repeats}"
    )
