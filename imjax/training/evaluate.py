"""The one evaluation: labels against the truth, by the metrics of the dataset's kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import jax
import numpy as np

from imjax.data.spec import VOID, DatasetSpec
from imjax.evaluation import cell_count, metrics, object_matching, surface_distance
from imjax.evaluation.objects import label_objects
from imjax.ops.batched_map import map_images


def figures(
    spec: DatasetSpec,
    *,
    truth: np.ndarray,
    prediction: np.ndarray,
    names: Sequence[str] = (),
    instances: np.ndarray | None = None,
) -> metrics.Figures:
    """Every figure of a set of labels (methods.md 1.10, 2).

    Args:
        spec: decides the metrics.
        truth, prediction: uint8 labels `[n, h, w]` or `[n, h, w, k]`; with `spec.dims` 3 with `d` after `n`.
        names: of the images. With `spec.volumes` they say which are slices of one volume, and dice, iou, hd95
            and assd are taken per volume: see `of_volumes`. Without names nothing is, unless each image is a
            volume.
        instances: uint16 `[n, h, w]`, numbers of the true objects of a binary set, where they are known.

    Raises:
        ValueError: with `spec.volumes`, another number of names than images.
    """
    prediction = redraw(spec, prediction)
    found = metrics.summarize(spec, confusion_matrices(spec, truth=truth, prediction=prediction))
    if spec.counts_cells:
        found["mcce", ""] = cell_count.cell_count_error(truth=truth, prediction=prediction)
    if spec.dims == 3 or (spec.volumes and len(names)):
        # Those are of slices, and volumes without an object are in no mean anyway.
        found = {key: value for key, value in found.items() if not key[0].endswith("_nonempty")}
        found |= of_volumes(spec, truth=truth, prediction=prediction, names=names)
    if instances is not None:
        found |= of_objects(truth=truth, prediction=prediction, instances=instances)
    return found


def redraw(spec: DatasetSpec, prediction: np.ndarray) -> np.ndarray:
    """Predicted labels as they are scored: as they are, but cells with a disc at each mark."""
    # As the truth is (methods.md 1.10).
    return cell_count.redraw_positions(prediction) if spec.counts_cells else prediction


def confusion_matrices(spec: DatasetSpec, *, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """One matrix for each image, int32 `[n, k, k]`, of multilabel `[n, c, 2, 2]`.

    Args:
        spec, truth, prediction: as of `figures`; the prediction as `redraw` returns it.
    """
    # Many images at once, but only one volume: a set of those would need gigabytes.
    batch = 64 if spec.dims == 2 else 1
    return map_images(_confusion, truth, prediction, batch=batch, spec=spec)


def of_objects(*, truth: np.ndarray, prediction: np.ndarray, instances: np.ndarray) -> metrics.Figures:
    """`object_f1` and `count_error` of a binary set, means over images (methods.md 1.10).

    Args:
        truth, prediction: uint8 `[n, h, w]`; predicted objects are connected pixels, touching ones taken
            apart, and void pixels are of none.
        instances: uint16 `[n, h, w]`, numbers of the true objects.
    """
    matches = [
        object_matching.match_objects(objects, label_objects((found == 1) & (true != VOID)))
        for true, found, objects in zip(truth, prediction, instances, strict=True)
    ]
    return {
        ("object_f1", ""): float(np.mean([each.f1 for each in matches])),
        ("count_error", ""): float(np.mean([abs(each.spurious - each.missed) for each in matches])),
    }


def of_volumes(
    spec: DatasetSpec, *, truth: np.ndarray, prediction: np.ndarray, names: Sequence[str]
) -> metrics.Figures:
    """Figures per class, means over volumes, as the medical benchmarks give them (methods.md 2).

    With `spec.dims` 3 each image is one. Otherwise slices whose names are alike up to the first `#` are one
    volume, in the order of the numbers behind it.

    Args:
        spec: with `background` or `reserved`, class 0 is left out.
        truth, prediction: uint8 labels `[n, h, w]` or `[n, h, w, k]`, with `spec.dims` 3 with `d` after `n`;
            void pixels count in neither.
        names: one per slice; of no use with `spec.dims` 3.

    Returns:
        dice, iou, hd95 and assd (`imjax.evaluation.surface_distance`, in voxels) per class, over the volumes
        that have the class in truth or prediction; a class in none has no entry. And the means of these over
        the classes, named "", nan if there are none.

    Raises:
        ValueError: another number of names than slices.
    """
    whole = spec.dims == 3
    if not whole and len(names) != len(truth):
        raise ValueError(f"{len(names)} names for {len(truth)} slices, expected one each")
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for slices in range(len(truth)) if whole else _volumes(names):
        true = truth[slices]
        found = np.where(true == VOID, np.uint8(VOID), prediction[slices])
        for (name, one), other in zip(_objects(spec, true), _objects(spec, found), strict=True):
            for metric, value in _compare(one, other[1]).items():
                values[metric, name].append(value)
    out = {key: float(np.mean(found)) for key, found in values.items()}
    for metric in ("dice", "iou", "hd95", "assd"):
        per_class = [value for (other, _), value in out.items() if other == metric]
        out[metric, ""] = float(np.mean(per_class)) if per_class else float("nan")
    return out


def _volumes(names: Sequence[str]) -> list[list[int]]:
    """Slices of each volume, in their order; a name without a number is a volume of one slice."""
    parts = [name.partition("#") for name in names]
    groups = defaultdict(list)
    # By length first: numbers are then in order whether they are padded or not.
    for i in sorted(range(len(names)), key=lambda i: (len(parts[i][2]), parts[i][2])):
        groups[parts[i][0]].append(i)
    return list(groups.values())


def _objects(spec: DatasetSpec, labels: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Name and bool mask `[d, h, w]` of each class that is an object."""
    if spec.kind == "multilabel":
        return [(name, labels[..., i] == 1) for i, name in enumerate(spec.classes)]
    if spec.kind == "binary":
        return [(spec.classes[0], labels == 1)]
    first = int(spec.background or spec.reserved)
    return [(name, labels == i) for i, name in enumerate(spec.classes)][first:]


def _compare(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Figures of one class of one volume; none where it is in neither."""
    if not (truth.any() or prediction.any()):
        return {}
    found = metrics.overlap((truth & prediction).sum(), truth.sum(), prediction.sum())
    apart = surface_distance.measure_distances(truth=truth, prediction=prediction)
    return {"dice": float(found.dice), "iou": float(found.iou), **apart._asdict()}


def _confusion(truth: jax.Array, prediction: jax.Array, *, spec: DatasetSpec) -> jax.Array:
    if spec.kind == "multilabel":
        return metrics.channel_confusion(truth=truth, prediction=prediction)
    return metrics.confusion_matrix(truth=truth, prediction=prediction, classes=max(spec.outputs, 2))
