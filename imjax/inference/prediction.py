"""What an ensemble predicts for one image: mask, probabilities, inconsistency mask, confidence, objects."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import jax
import numpy as np
from scipy import ndimage

from imjax.config.schema import Mask
from imjax.data.preprocess import resize_label
from imjax.data.spec import DatasetSpec
from imjax.inference import image_scores
from imjax.methods.generational.inconsistency_masks import consensus
from imjax.ops import ensemble
from imjax.ops.batched_map import map_images


class DetectedObject(NamedTuple):
    """A connected component of one class."""

    label: int
    """Its number among the objects of the image, from 1."""
    class_index: int
    """Value in the mask; multilabel: the channel."""
    class_name: str
    area: int
    """Pixels."""
    centroid: tuple[float, ...]
    """Row and column; of a volume slice, row and column."""
    bbox: tuple[int, ...]
    """Top row, left column, and the row and column behind the last; of a volume slices first."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What is predicted for one image, at the image's own size `[h, w]`; for a volume `[d, h, w]`."""

    spec: DatasetSpec
    output: np.ndarray
    """uint8 `[h, w]`, the net's output or 0/1; multilabel `[h, w, k]`. `mask`: as the dataset counts."""
    inconsistency: np.ndarray
    """bool `[h, w]`, where the nets disagree."""
    confidence: float
    """Estimated IoU of the mask, 0..1, by how far the nets agree on what they mark, or how sure a single one
    is of it (`image_scores.estimate_quality`). Low: look at it."""
    canvas: np.ndarray
    """float32 `[canvas height, canvas width, outputs]`: the probabilities at the size at which the nets saw
    the image."""

    @property
    def mask(self) -> np.ndarray:
        """uint8 `[h, w]` class indices as the dataset counts them, or 0/1; multilabel `[h, w, k]` 0/1.

        The class that nets reserve for inconsistent pixels is none of the dataset's.
        """
        if self.spec.kind != "multiclass":
            return self.output
        return self.output - np.uint8(self.spec.reserved)

    @functools.cached_property
    def probabilities(self) -> np.ndarray:
        """float32 `[h, w, k]`, one channel per class of the dataset; binary: one, the foreground's.

        Multiclass values add up to 1, or with a reserved class (see `mask`) to what that leaves.
        """
        channels = self.canvas[..., int(self.spec.reserved) :]
        return np.stack(list(_resized_planes(channels, self.inconsistency.shape)), -1)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the channels of `probabilities`."""
        return self.spec.classes[int(self.spec.reserved) :]

    def objects(self, min_area: int = 1) -> list[DetectedObject]:
        """Connected components, class by class; pixels that touch at a corner belong together.

        Class 0 is left out where it is the background. `pandas.DataFrame(prediction.objects())` is a table.

        Args:
            min_area: smaller ones are left out, in pixels.
        """
        objects: list[DetectedObject] = []
        for index, name, plane in self._class_planes():
            parts, _ = ndimage.label(plane, np.ones((3,) * plane.ndim, bool))
            areas = np.bincount(parts.ravel())
            for number, box in enumerate(ndimage.find_objects(parts), 1):
                if areas[number] < min_area:
                    continue
                inside = np.nonzero(parts[box] == number)
                corner = tuple(sides.start for sides in box)
                center = tuple(float(axis.mean() + first) for axis, first in zip(inside, corner, strict=True))
                bbox = (*corner, *(sides.stop for sides in box))
                objects.append(
                    DetectedObject(len(objects) + 1, index, name, int(areas[number]), center, bbox)
                )
        return objects

    def _class_planes(self) -> Iterator[tuple[int, str, np.ndarray]]:
        """Index, name and bool `[h, w]` of each class that consists of objects."""
        if self.spec.kind == "binary":
            yield 1, self.classes[0], self.mask == 1
            return
        for index, name in enumerate(self.classes):
            if self.spec.kind == "multilabel":
                yield index, name, self.mask[..., index] == 1
            elif index or not self.spec.background:
                yield index, name, self.mask == index


def make_prediction(
    spec: DatasetSpec, mask: Mask, canvas: np.ndarray, size: tuple[int, ...], nets: int
) -> Prediction:
    """The prediction of an ensemble.

    Args:
        spec: of the run.
        mask: of the run, for the inconsistency mask.
        canvas: float32 `[net, h, w, k]`, each net's probabilities, best first, at the size at which they saw
            the image.
        size: of the image.
        nets: the first so many decide by their mean; all of them enter the inconsistency mask.
    """
    mean = canvas[:nets].mean(0)
    output, confidence = decide_output(spec, mean, size), image_scores.estimate_quality(spec, canvas)
    return Prediction(spec, output, inconsistency_mask(spec, mask, canvas, size), confidence, mean)


def decide_output(spec: DatasetSpec, probabilities: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Label at an image's own size, by `ensemble.probabilities_to_label`'s rules.

    Probabilities are resized bilinearly before the label is taken, one output at a time: all of them at
    the size of a large image would fill the memory. The class that a net reserves for inconsistent pixels is
    no answer: the best of the others is taken.

    Args:
        spec: kind of the labels.
        probabilities: float32 `[h, w, k]`.
        size: of the image.

    Returns:
        uint8 `[*size]`, outputs or 0/1, multilabel `[*size, k]`.
    """
    planes = _resized_planes(probabilities, size)
    if spec.kind == "multiclass":
        first = int(spec.reserved)
        chosen = itertools.islice(planes, first, None)
        best, label = next(chosen).copy(), np.full(size, first, np.uint8)
        for output, plane in enumerate(chosen, first + 1):
            better = plane > best
            label[better] = output
            np.maximum(best, plane, out=best)
        return label
    labels = [(plane > 0.5 if spec.kind == "binary" else plane >= 0.5).astype(np.uint8) for plane in planes]
    return labels[0] if spec.kind == "binary" else np.stack(labels, -1)


def inconsistency_mask(
    spec: DatasetSpec, mask: Mask, probabilities: np.ndarray, size: tuple[int, ...]
) -> np.ndarray:
    """Inconsistency mask of nets at an image's own size, by the run's settings.

    It is made at the size at which the nets saw the image, since the settings' kernels are in pixels of
    that, and enlarged by the nearest pixel. A pixel that all nets give to the class reserved for inconsistent
    ones is in it, too. One net disagrees with nobody: its mask is empty.

    Args:
        spec, mask: of the run.
        probabilities: float32 `[net, h, w, k]`.
        size: of the image.

    Returns:
        bool `[*size]`.
    """
    if len(probabilities) < 2:
        return np.zeros(size, bool)
    # Of a volume slice by slice, as morphology acts in their plane.
    planes = np.moveaxis(probabilities, 1, 0) if spec.dims == 3 else probabilities[None]
    masks = map_images(_disagreement, planes, spec=spec, mask=mask)
    if spec.dims == 3:
        return masks
    height, width = size
    return resize_label(masks[0].astype(np.uint8), (height, width)).astype(bool)


def _resized_planes(probabilities: np.ndarray, size: tuple[int, ...]) -> Iterator[np.ndarray]:
    """float32 `[*size]` of each channel; volumes come at their own size."""
    if probabilities.shape[:-1] == tuple(size):
        return iter(np.moveaxis(probabilities, -1, 0))
    return (
        cv2.resize(np.ascontiguousarray(plane), size[::-1], interpolation=cv2.INTER_LINEAR)
        for plane in np.moveaxis(probabilities, -1, 0)
    )


def _disagreement(probabilities: jax.Array, *, spec: DatasetSpec, mask: Mask) -> jax.Array:
    labels = jax.vmap(functools.partial(ensemble.probabilities_to_label, spec.kind))(probabilities)
    inconsistent = consensus(spec, mask, labels).inconsistent
    return inconsistent | (labels == 0).all(0) if spec.reserved else inconsistent
