"""Masks of a folder of one's own: what kind they are, as their values tell, and what each value means."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from imjax.data import image_io
from imjax.data.folder.files import Files
from imjax.data.folder.tables import CLASSES, ClassTable, Color, Complain
from imjax.data.spec import LabelKind
from imjax.errors import ErrorCode, UserError, file_error
from imjax.log import track

WHITE = 255
UNNAMED = 32
"""Indices that masks may have where no `classes.csv` names them; more are rather numbers of objects."""


@dataclasses.dataclass(frozen=True)
class LabelEncoding:
    """How mask files become labels."""

    kind: LabelKind
    names: tuple[str, ...]
    """Of the foreground, of each class in the order of the labels, or of each label."""
    palette: tuple[Color, ...]
    """RGB, one per name."""
    why: str
    """What the kind was read off, for people."""
    values: Mapping[int, int] | None = None
    """Value in the file, of colors `pack_colors`, → label; None: what is above `background` is 1."""
    colored: bool = False
    """Whether files hold colors."""
    background: int = 0
    """Without `values`: the largest gray value that is background."""


@dataclasses.dataclass(frozen=True)
class MaskStats:
    """What is in one mask file."""

    path: Path
    colored: bool
    values: frozenset[int]
    """Gray values or indices; with `colored`, `pack_colors`."""
    filled: int
    """Pixels that are not 0."""
    white: int
    """Gray pixels of WHITE."""

    def packed(self, coding: LabelEncoding) -> list[int]:
        """The values as keys of `LabelEncoding.values`: gray ones are colors where files hold colors."""
        gray = coding.colored and not self.colored
        return sorted(pack_color((v, v, v)) if gray else v for v in self.values)


def read_mask(path: Path, colors: Sequence[Color] = ()) -> np.ndarray:
    """Decode a mask to its values `[h, w]`, integers, or where it has colors to RGB uint8 `[h, w, 3]`.

    Alpha is dropped, and three equal channels are one. Of a PNG with a palette the indices are taken, as
    annotation tools mean them, unless its colors are all among `colors` or all gray: other programs save
    any picture of few colors so, with indices that mean nothing.

    Raises:
        UserError: missing, damaged, or values that are no whole numbers.
    """
    mask = image_io.decode(path, cv2.IMREAD_UNCHANGED)
    if mask.ndim == 3:
        mask = np.ascontiguousarray(mask[..., 2::-1])
        if (mask == mask[..., :1]).all():
            mask = mask[..., 0]
        elif mask.dtype != np.uint8 or mask.shape[2] != 3:
            raise file_error(
                path,
                f"{mask.dtype} array {mask.shape}, expected 8-bit colors or one channel",
                ErrorCode.WRONG_TYPE,
            )
        else:
            mask = _indices(path, mask, colors)
    if mask.dtype.kind == "f":
        if not (mask == mask.round()).all():
            raise file_error(
                path,
                "values between whole numbers, expected classes; save the mask as 8-bit",
                ErrorCode.WRONG_TYPE,
            )
        mask = mask.astype(np.int64)
    return mask


def _indices(path: Path, mask: np.ndarray, colors: Sequence[Color]) -> np.ndarray:
    """Indices of a PNG with a palette, which OpenCV has turned to RGB `[h, w, 3]`; else the colors."""
    header = path.read_bytes()[:26]
    indexed = header[:4] == b"\x89PNG" and header[25] == 3
    known = {pack_color(color) for color in colors}
    if not indexed or set(np.unique(pack_colors(mask)).tolist()) <= known:
        return mask
    try:
        with warnings.catch_warnings():
            # A large mask is no attack: what is none has been refused by now.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                return np.asarray(file)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise file_error(
            path, f"no readable mask ({error}); save it as 8-bit gray", ErrorCode.UNREADABLE
        ) from error


def pack_color(color: Color) -> int:
    """RGB as one integer, red the highest byte."""
    return color[0] << 16 | color[1] << 8 | color[2]


def pack_colors(colors: np.ndarray) -> np.ndarray:
    """`pack_color` of each pixel: uint8 `[h, w, 3]` → int32 `[h, w]`."""
    red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def inspect_mask(files: Files, table: ClassTable | None, complain: Complain) -> list[MaskStats]:
    """The values of every mask file; files that cannot be read are complained about and left out."""
    stats = []
    paths = [path for masks in files.masks.values() for path in masks]
    for path in track(paths, "looking at masks"):
        try:
            mask = read_mask(path, table.known if table else ())
        except UserError as error:
            complain(error)
        else:
            colored = mask.ndim == 3
            values, counts = np.unique(pack_colors(mask) if colored else mask, return_counts=True)
            filled, white = (int(counts[which].sum()) for which in (values != 0, values == WHITE))
            stats.append(
                MaskStats(path, colored, frozenset(values.tolist()), filled, 0 if colored else white)
            )
    return stats


def decode_mask(mask: np.ndarray, path: Path, coding: LabelEncoding) -> np.ndarray:
    """Labels uint8 `[h, w]` of what `read_mask` gives.

    Returns:
        Of multiclass the class's number in `LabelEncoding.names` + 1, since 0 is the inconsistent class; else
        0 or 1; VOID where nothing is said.

    Raises:
        UserError: a value that is no class.
    """
    if coding.values is None:
        foreground = np.any(mask, -1) if mask.ndim == 3 else mask > coding.background
        return foreground.astype(np.uint8)
    packed = mask.astype(np.int64)
    if coding.colored:
        packed = pack_colors(mask if mask.ndim == 3 else np.repeat(mask[..., None], 3, -1)).astype(np.int64)
    values, where = np.unique(packed, return_inverse=True)
    if problem := find_wrong_values(path, values.tolist(), coding):
        raise problem
    labels = np.array([coding.values[value] for value in values.tolist()], np.uint8)
    return labels[where].reshape(packed.shape)


def find_wrong_values(path: Path, values: Sequence[int], coding: LabelEncoding) -> UserError | None:
    """The complaint about the values of a file that are no class; None if all are."""
    assert coding.values is not None
    others = sorted(set(values) - set(coding.values))
    if not others:
        return None
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    if coding.colored:
        shown = f"color #{others[0]:06x}{more} in a mask"
        message = f"{shown}, expected the colors in {CLASSES}; correct the mask or add a line there"
    elif coding.kind != "multiclass":
        message = f"value {others[0]}{more} is no class, expected 0 and 1, or 0 and 255; correct the mask"
    else:
        message = (
            f"value {others[0]}{more} is no class, expected 0 to {len(coding.names) - 1} or 255; correct the "
            f"mask, name more classes in {CLASSES}, or, if values number objects, say that all are "
            "foreground (data.label_kind=binary)"
        )
    return file_error(path, f"{message}", ErrorCode.OUT_OF_RANGE)
