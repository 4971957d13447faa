"""results.csv, rebuilt from the stages that are done, and the table a run ends with."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imjax.data.spec import DatasetSpec
from imjax.evaluation.image_counts import COUNTS, describe_empty_images, describe_failures
from imjax.evaluation.result_names import find_single, split_ensembles
from imjax.json_io import read_json
from imjax.methods.registry import GENERATIONAL_METHODS
from imjax.pipeline.artifacts import ArtifactStore
from imjax.pipeline.stages import JointStage, Stage, TrainStage

COLUMNS = ("dataset", "method", "seed", "generation", "member", "rank", "split", "metric", "class", "value")


def collect(store: ArtifactStore, stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """Rows of every finished training stage, in the order of the plan."""
    rows = []
    for stage in stages:
        if isinstance(stage, TrainStage | JointStage) and store.is_done(stage.name):
            rows += read_json(store.folder(stage.name) / "rows.json")
    return rows


def write(workdir: Path, rows: list[dict[str, Any]]) -> None:
    """Replace `D/results.csv`; empty cells where a value is none."""
    temporary = workdir / "results.csv.tmp"
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, workdir / "results.csv")


def table(rows: list[dict[str, Any]], primary_metric: str, top: int) -> str:
    """Test metrics per method and generation: of the best candidate, of the best together, and their mean.

    Args:
        rows: see `collect`.
        primary_metric: of the dataset.
        top: candidates that the mean is of.
    """
    groups: dict[tuple[str, Any], list[dict[str, Any]]] = {}
    for row in rows:
        if row["split"] == "test" and not row["class"]:
            groups.setdefault((row["method"], row["generation"]), []).append(row)
    # Those of joint methods are lines of their own: a system is what such a method trains.
    groups, together = split_ensembles(groups, lambda name: find_single(name, GENERATIONAL_METHODS))
    # A dict keeps the order of the rows; the order of a set differs from run to run.
    names = dict.fromkeys(
        row["metric"] for group in groups.values() for row in group if row["metric"] not in COUNTS
    )
    metrics = sorted(names, key=lambda metric: metric != primary_metric)
    # No more than there are: a baseline may have more candidates than a generation.
    counts = sorted({min(top, max(row["rank"] for row in group)) for group in groups.values()})
    best_title = f"{primary_metric} of the best {'/'.join(map(str, counts))}"
    head = [f"{primary_metric}, ensemble"] if together else []
    lines = [["method", "generation", *metrics[:1], *head, *metrics[1:], best_title]]
    for (method, generation), group in groups.items():
        best = {row["metric"]: row["value"] for row in group if row["rank"] == 1}
        top_values = [row["value"] for row in group if row["metric"] == primary_metric and row["rank"] <= top]
        cells = [_format_metric(best.get(metric)) for metric in metrics]
        if together:
            found = together.get((method, generation), [])
            value = next((row["value"] for row in found if row["metric"] == primary_metric), None)
            cells.insert(1, _format_metric(value))
        mean = None if None in top_values else sum(top_values) / len(top_values)
        lines.append([method, "" if generation is None else str(generation), *cells, _format_metric(mean)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def notes(rows: list[dict[str, Any]], spec: DatasetSpec) -> str:
    """What stands below the table: images without an object, and nets that predict nothing or one class."""
    nets: dict[tuple[str, Any], dict[tuple[str, str], float]] = {}
    for row in rows:
        if row["split"] == "test" and row["rank"] == 1 and row["metric"] in COUNTS:
            net = nets.setdefault((row["method"], row["generation"]), {})
            net[row["metric"], row["class"]] = row["value"]
    lines = dict.fromkeys(
        f"test: {text}" for net in nets.values() if (text := describe_empty_images(spec, net))
    )
    for (method, generation), net in nets.items():
        if failures := describe_failures(net):
            title = method if generation is None else f"{method}, generation {generation}"
            lines[f"{title}: {failures}"] = None
    return "\n".join(lines)


def _format_metric(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
