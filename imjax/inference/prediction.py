"""What an ensemble predicts for one image: mask, probabilities, inconsistency mask, confidence, objects."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import cv2
import jax
import numpy as np

from imjax.config.schema import Mask
from imjax.data.preprocess import resize_label
from imjax.data.spec import DatasetSpec, is_background_name
from imjax.evaluation.objects import (
    DetectedObject,
    LabeledClass,
    join_labels,
    label_classes,
    measure_objects,
)
from imjax.inference import image_scores
from imjax.methods.generational.inconsistency_masks import consensus
from imjax.ops import ensemble
from imjax.ops.batched_map import map_images


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

    def objects(
        self, min_area: int = 1, *, split: bool = True, image: np.ndarray | None = None
    ) -> list[DetectedObject]:
        """Objects, class by class: connected pixels, corners joining, and touching ones taken apart.

        Backgrounds have none. `pandas.DataFrame(prediction.objects())` is a table.

        Args:
            min_area: smaller ones are left out, in pixels.
            split: whether touching objects are taken apart, see `objects.split_touching`.
            image: for `mean_intensity`: values of any type `[h, w]` or `[h, w, c]`, of volumes with `d`
                before `h`.
        """
        return measure_objects(self.label_classes(min_area, split=split), image)

    def instances(self, min_area: int = 1, *, split: bool = True) -> np.ndarray:
        """Label image int32 `[h, w]` (multilabel `[h, w, k]`): 0, or the number of an object in `objects`.

        Arguments as of `objects`.
        """
        classes = self.label_classes(min_area, split=split)
        if self.spec.kind == "multilabel":
            return np.stack([each.labels for each in classes], -1)
        return join_labels(classes, self.mask.shape)

    def label_classes(self, min_area: int = 1, *, split: bool = True) -> list[LabeledClass]:
        """The objects of each class that has any; arguments as of `objects`."""
        return label_classes(self.list_planes(), split, min_area)

    def list_planes(self) -> list[tuple[int, str, np.ndarray]]:
        """Index, name and bool `[h, w]` of each class that consists of objects."""
        mask, multilabel = self.mask, self.spec.kind == "multilabel"
        return [
            (index, name, mask[..., index] == 1 if multilabel else mask == index)
            for index, name in list_object_classes(self.spec)
        ]


def list_object_classes(spec: DatasetSpec) -> list[tuple[int, str]]:
    """Index, as of `DetectedObject`, and name of each class that consists of objects."""
    if spec.kind == "binary":
        return [(1, spec.classes[0])]
    classes = list(enumerate(spec.classes[int(spec.reserved) :]))
    if spec.kind == "multilabel":
        return classes
    first = classes[0]
    return classes[int(spec.background or is_background_name(first[1])) :]


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
