"""IoU and Dice of each image of val and test, and pictures of the test images with the lowest.

A training stage measures the net that it ranks first, by labels that its evaluation has predicted anyway. The
last one's are those of the run, see `publish`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imjax.data.pack import PackedDataset
from imjax.data.spec import DatasetSpec
from imjax.evaluation import metrics
from imjax.evaluation.per_image import METRICS, TABLE, WORST, WORST_ROWS
from imjax.inference.writers import write_table
from imjax.json_io import write_json
from imjax.pipeline import image_panels, worst_images
from imjax.pipeline.artifacts import ArtifactStore
from imjax.pipeline.stages import Stage, find_final_stage
from imjax.training import evaluate

NUM_WORST = 3
SPLITS = ("test", "val")


def write_stage(dataset: PackedDataset, labels: Mapping[str, np.ndarray], out: Path) -> None:
    """Write the table and the worst images of a net to its stage's folder.

    Nothing is written of nets that have learned from all images: their figures would say nothing.

    Args:
        dataset: of the run.
        labels: uint8 `[n, ...]` of all images of val and test by split.
        out: folder of the stage.
    """
    if dataset.is_final:
        return
    spec, rows = dataset.spec, []
    scored = {split: evaluate.redraw(spec, labels[split]) for split in SPLITS}
    for split in SPLITS:
        data = dataset.splits[split]
        confusions = evaluate.confusion_matrices(spec, truth=data.labels, prediction=scored[split])
        table = tabulate(spec, confusions, data.titles)
        rows += worst_images.sort_worst_first(
            [{"image": row["image"], "split": split} | row for row in table]
        )
    write_table(out / TABLE, rows)
    worst = [row for row in rows if row["split"] == "test" and row["iou"] is not None][:NUM_WORST]
    test = dataset.splits["test"]
    chosen = [test.titles.index(row["image"]) for row in worst]
    if chosen:
        panels = worst_images.draw(spec, test.images[chosen], test.labels[chosen], scored["test"][chosen])
        image_panels.save(panels, out / WORST)
        write_json(out / WORST_ROWS, worst)


def tabulate(spec: DatasetSpec, confusions: np.ndarray, titles: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each image: `image`, the means over its classes, and where there are several the IoU of each.

    Args:
        spec: of the dataset.
        confusions: of the images, see `metrics.score_images`.
        titles: of the images.
    """
    scores, names = metrics.score_images(spec, confusions), metrics.object_classes(spec)
    columns = dict(zip(METRICS, scores.mean, strict=True))
    if len(names) > 1:
        columns |= {f"iou_{name}": scores.classes.iou[:, i] for i, name in enumerate(names)}
    return [
        {"image": title} | {name: _round(values[i]) for name, values in columns.items()}
        for i, title in enumerate(titles)
    ]


def _round(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def publish(store: ArtifactStore, stages: Sequence[Stage]) -> None:
    """Copy the table of the final nets to the run's folder."""
    path = store.folder(find_final_stage(stages).name) / TABLE
    if path.is_file():
        temporary = store.workdir / f"{TABLE}.tmp"
        shutil.copyfile(path, temporary)
        temporary.replace(store.workdir / TABLE)
