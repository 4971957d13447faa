"""How large the things are that a folder's masks show, once images have their packed size."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from imjax.config.schema import Data
from imjax.data.spec import VOID, DatasetSpec
from imjax.data.split_writer import label_names

SMALL = 16
"""Pixels, 4×4: of a thing that is smaller hardly anything is left for a net to find."""


def measure_objects(label: np.ndarray, spec: DatasetSpec, data: Data) -> dict[int, np.ndarray]:
    """The connected parts of each class in a mask.

    Args:
        label: `[h, w]`, of multilabel `[h, w, k]`.
        spec: of the folder.
        data: how an image comes to its packed size.

    Returns:
        By class, as `arrays.label_names` has it, the parts' pixels in the packed image, float `[parts]`: less
        than 1 where next to nothing is left.
    """
    factor = _shrinking(label.shape[:2], data)
    if spec.kind == "multilabel":
        planes = {value: label[..., value] == 1 for value in range(label.shape[-1])}
    else:
        planes = {int(value): label == value for value in np.setdiff1d(label, [VOID])}
    return {value: _areas(plane) * factor for value, plane in planes.items()}


def _areas(plane: np.ndarray) -> np.ndarray:
    """Pixels of each connected part of a bool plane, corners joining."""
    return cv2.connectedComponentsWithStats(plane.astype(np.uint8), connectivity=8)[2][1:, cv2.CC_STAT_AREA]


def _shrinking(shape: tuple[int, ...], data: Data) -> float:
    """By what the area of a thing is multiplied when an image of this height and width is packed."""
    if data.is_grid:
        return 1.0
    height, width = (packed / original for packed, original in zip(data.size, shape, strict=True))
    if data.resize_mode == "pad":
        return min(height, width, 1.0) ** 2
    return height * width


def size_warnings(objects: Mapping[int, list[np.ndarray]], spec: DatasetSpec, data: Data) -> list[str]:
    """A line for each class whose things are too small at the packed size, with what to do about it.

    Args:
        objects: areas that `measure_objects` found, by class. The class with most pixels is taken for the
            background, whose small gaps are nobody's aim; labels that may overlap have none.
        spec: of the folder.
        data: as for `measure_objects`.
    """
    areas = {value: np.concatenate(each) for value, each in sorted(objects.items())}
    areas = {value: each for value, each in areas.items() if len(each)}
    if areas and spec.kind != "multilabel":
        del areas[max(areas, key=lambda value: areas[value].sum())]
    remedy = "choose a larger --size" + (
        "" if data.is_grid else ", or --resize_mode=crop for the images' own pixels"
    )
    return [
        f"half of the things of class {label_names(spec)[value]!r} have fewer than {SMALL} pixels (median "
        f"{np.median(each):.1f}) in images of {data.size[1]}x{data.size[0]}; {remedy}"
        for value, each in areas.items()
        if np.median(each) < SMALL
    ]
