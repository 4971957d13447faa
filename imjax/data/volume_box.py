"""Volumes of one size: padded or cut to a box about their middle, never resampled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imjax.config.schema import Data
from imjax.data.spec import VOID, DatasetSpec
from imjax.errors import ErrorCode, UserError
from imjax.log import logger


def check_box(data: Data, spec: DatasetSpec) -> None:
    """Make sure that volumes have a box, and images none; UserError names the option."""
    if spec.dims == 2 and data.depth:
        raise UserError(
            f"depth = {data.depth}, expected 0: {spec.title} has images, not volumes",
            code=ErrorCode.CONFLICT,
            field="data.depth",
        )
    if spec.dims == 3 and not data.depth:
        raise UserError(
            f"depth = 0, expected a multiple of 16: {spec.title} has volumes",
            code=ErrorCode.CONFLICT,
            field="data.depth",
        )
    if spec.dims == 3 and (data.random_crops or data.tile_overlap):
        raise UserError(
            f"random_crops = {data.random_crops} and tile_overlap = {data.tile_overlap}, expected 0: "
            "volumes are packed whole",
            code=ErrorCode.CONFLICT,
            field="data.random_crops" if data.random_crops else "data.tile_overlap",
        )


def warn_of_cropped_volumes(names: Sequence[str], count: int, box: tuple[int, ...]) -> None:
    """Say that these volumes of so many lose a part of their objects by `pad_or_crop`, if there are any."""
    if names:
        logger.warning(
            f"{len(names)} of {count} volumes, {names[0]} among them, have labeled objects outside of their "
            f"middle {box} voxels (d, h, w): cut off, and counted in no figure; enlarge data.depth, "
            "data.height and data.width"
        )


def pad_or_crop(image: np.ndarray, label: np.ndarray, box: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A volume in a box of another size.

    Along each axis what is missing is added at both ends and what is too much is taken off both ends; of an
    odd number of voxels the odd one falls on the far end.

    Args:
        image: uint8 `[d, h, w, c]`; label: uint8 `[d, h, w]` or `[d, h, w, k]`.
        box: depth, height and width.

    Returns:
        Image `[*box, c]`, 0 where padded, and label `[*box]` or `[*box, k]`, `VOID` there.
    """
    return _centerd(image, box, 0), _centerd(label, box, VOID)


def cropped_foreground_voxels(label: np.ndarray, box: tuple[int, ...]) -> int:
    """Object voxels (neither 0 nor void) of a label `[d, h, w(, k)]` that `pad_or_crop` cuts off."""
    inside = _centerd(label, box, VOID)
    return int(_objects(label) - _objects(inside))


def _objects(label: np.ndarray) -> int:
    return int(((label != 0) & (label != VOID)).sum())


def _centerd(array: np.ndarray, box: tuple[int, ...], fill: int) -> np.ndarray:
    out = np.full((*box, *array.shape[len(box) :]), fill, array.dtype)
    source, target = [], []
    for have, want in zip(array.shape, box, strict=False):
        size, over = min(have, want), abs(have - want) // 2
        source.append(slice(over, over + size) if have > want else slice(None))
        target.append(slice(over, over + size) if want > have else slice(None))
    out[tuple(target)] = array[tuple(source)]
    return out
