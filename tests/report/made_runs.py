"""Folders of runs as imjax.main leaves them, with given results."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

COLUMNS = ("dataset", "method", "seed", "generation", "member", "rank", "split", "metric", "class", "value")
SPEC = {
    "name": "suim", "title": "SUIM", "kind": "multiclass", "classes": ["inconsistent", "diver", "fish"],
    "palette": [[255, 255, 255], [0, 0, 255], [255, 255, 0]], "reserved": True, "primary_metric": "miou",
}  # fmt: skip

Scores = Mapping[tuple[str, int | None], list[float]]
"""(method, generation) → test mIoU of each candidate, best on val first."""


def build(
    folder: Path,
    scores: Scores,
    method: str = "im_pp",
    seed: int = 0,
    spec: Mapping = SPEC,
    size: int = 8,
    epochs: int = 3,
    start: str | None = None,
    labeling: Mapping[int, Mapping[str, float | None]] | None = None,
    share: float = 0.1,
    seen: int = 0,
    **config,
) -> Path:
    """Write a run's folder; mPA is half the primary metric, the dataset's IoU of diver a quarter of it.

    `labeling`: further scalars of the label stage of a generation. `share`: of labels. `seen`: test images
    with a copy in training.
    """
    folder.mkdir(parents=True)
    config = {"method": method, "seed": seed, "generations": 2, "report_top_k": 2, "baselines": []} | config
    config["data"] = {
        "height": size,
        "width": size,
        "dir": "",
        "cache": "",
        "label_fraction": share,
        "split": "own",
    }
    starts = [name for name, generation in scores if generation is None and name not in config["baselines"]]
    _record(folder, config, start or (starts[-1] if starts else "ldt"), spec, seen)
    _results(folder / "results.csv", scores, seed, spec)
    scalars = []
    for number, ((name, generation), values) in enumerate(scores.items()):
        if generation is not None:
            more = (labeling or {}).get(generation, {})
            scalars += _label(
                folder / "stages" / f"{2 * number:02d}_label_g{generation}", generation, size, more
            )
        stage = f"train_{name if generation is None else f'g{generation}'}"
        scalars += _train(
            folder / "stages" / f"{2 * number + 1:02d}_{stage}", generation, values, size, epochs
        )
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps(scalar) + "\n" for scalar in scalars) + '{"step": 1, "st'
    )
    return folder


def _record(folder: Path, config: dict, start: str, spec: Mapping, seen: int) -> None:
    record = {
        "config": config,
        "start": start,
        "hash": "abc123",
        "spec": dict(spec),
        "counts": {"test": 3},
        "seen": seen,
        "device": "1 × cpu",
    }
    record |= {"versions": {"jax": "0.1"}, "command": ["python", "-m", "imjax.main", f"--workdir={folder}"]}
    (folder / "config.json").write_text(json.dumps(record))


def _results(path: Path, scores: Scores, seed: int, spec: Mapping) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for (method, generation), values in scores.items():
            for rank, value in enumerate(values, 1):
                for split, shift in (("val", 0.1), ("test", 0.0)):
                    row = [spec["name"], method, seed, generation, 9 - rank, rank, split]
                    writer.writerow([*row, spec["primary_metric"], "", value + shift])
                    writer.writerow([*row, "mpa", "", value / 2])
                    writer.writerow([*row, "iou_dataset", "diver", value / 4])


def _label(folder: Path, generation: int, size: int, more: Mapping[str, float | None]) -> list[dict]:
    names = ("image", "truth", "pseudo-label", "inconsistency mask")
    _done(folder, {"seconds": 3.8}, names, size)
    scalars = {
        "inconsistent_pixels": 16.0 - generation,
        "kept_share": 0.5,
        "copies": 2.5,
        "score": None,
        "pseudo_miou": 0.75,
        **more,
    }
    head = {
        "step": 0,
        "stage": folder.name[3:],
        "generation": generation,
        "member": None,
        "split": "unlabeled",
    }
    return [head | {"name": name, "value": value} for name, value in scalars.items()]


def _train(folder: Path, generation: int | None, values: list[float], size: int, epochs: int) -> list[dict]:
    _done(folder, {"pairs": 1234, "seconds": 125.0}, ("image", "truth", "prediction"), size)
    members = range(len(values))
    training = {"ranked": list(members), "value": values, "epoch": [epochs] * len(values)}
    (folder / "train.json").write_text(json.dumps(training))
    stage = {"stage": folder.name[3:], "generation": generation}
    scalars = []
    for epoch in range(1, epochs + 1):
        for split, name in (("train", "loss"), ("val", "loss"), ("val", "soft_miou")):
            for member in members:
                value = 1 / (epoch + member) if name == "loss" else 1 - 1 / (epoch + member + 1)
                scalars.append(
                    stage
                    | {"step": epoch * 10, "member": member, "split": split, "name": name, "value": value}
                )
    masks = stage | {"step": 0, "member": None, "name": "inconsistent_pixels"}
    return [*scalars, masks | {"split": "val", "value": 8.0}, masks | {"split": "test", "value": 4.0}]


def _done(folder: Path, metadata: dict, panels: tuple[str, ...], size: int) -> None:
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    np.savez_compressed(folder / "panels.npz", **dict.fromkeys(panels, images))
    (folder / "DONE.json").write_text(json.dumps({"digest": "d"} | metadata))
