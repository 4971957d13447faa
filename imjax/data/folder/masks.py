"""Masks of a folder of one's own: what kind they are, as their values tell, and what each value means."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from imjax.data.folder.files import Files
from imjax.data.folder.tables import CLASSES, ClassTable, Colour, Complain
from imjax.data.readers import base as raw_files
from imjax.data.spec import LabelKind
from imjax.errors import UserError

WHITE = 255
UNNAMED = 32
"""Indices that masks may have where no `classes.csv` names them; more are rather numbers of objects."""


@dataclasses.dataclass(frozen=True)
class Coding:
    """How mask files become labels."""

    kind: LabelKind
    names: tuple[str, ...]
    """Of the foreground, of each class in the order of the labels, or of each label."""
    palette: tuple[Colour, ...]
    """RGB, one per name."""
    why: str
    """What the kind was read off, for people."""
    values: Mapping[int, int] | None = None
    """Value in the file, of colours `pack_colours`, → label; None: what is above `background` is 1."""
    coloured: bool = False
    """Whether files hold colours."""
    background: int = 0
    """Without `values`: the largest grey value that is background."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """What is in one mask file."""

    path: Path
    coloured: bool
    values: frozenset[int]
    """Grey values or indices; with `coloured`, `pack_colours`."""
    filled: int
    """Pixels that are not 0."""
    white: int
    """Grey pixels of WHITE."""

    def packed(self, coding: Coding) -> list[int]:
        """The values as they are keys of `Coding.values`: grey ones are colours where files hold colours."""
        grey = coding.coloured and not self.coloured
        return sorted(pack_colour((v, v, v)) if grey else v for v in self.values)


def read_mask(path: Path, colours: Sequence[Colour] = ()) -> np.ndarray:
    """Decode a mask to its values `[h, w]`, integers, or where it has colours to RGB uint8 `[h, w, 3]`.

    Alpha is dropped, and three equal channels are one. Of a PNG with a palette the indices are taken, as
    annotation tools mean them, unless its colours are all among `colours` or all grey: other programs save
    any picture of few colours so, with indices that mean nothing.

    Raises:
        UserError: missing, damaged, or values that are no whole numbers.
    """
    mask = raw_files.decode(path, cv2.IMREAD_UNCHANGED)
    if mask.ndim == 3:
        mask = np.ascontiguousarray(mask[..., 2::-1])
        if (mask == mask[..., :1]).all():
            mask = mask[..., 0]
        elif mask.dtype != np.uint8 or mask.shape[2] != 3:
            raise UserError(f"{path}: {mask.dtype} array {mask.shape}, expected 8-bit colours or one channel")
        else:
            mask = _indices(path, mask, colours)
    if mask.dtype.kind == "f":
        if not (mask == mask.round()).all():
            raise UserError(f"{path}: values between whole numbers, expected classes; save the mask as 8-bit")
        mask = mask.astype(np.int64)
    return mask


def _indices(path: Path, mask: np.ndarray, colours: Sequence[Colour]) -> np.ndarray:
    """Indices of a PNG with a palette, which OpenCV has turned to RGB `[h, w, 3]`; else the colours."""
    header = path.read_bytes()[:26]
    indexed = header[:4] == b"\x89PNG" and header[25] == 3
    known = {pack_colour(colour) for colour in colours}
    if not indexed or set(np.unique(pack_colours(mask)).tolist()) <= known:
        return mask
    try:
        with warnings.catch_warnings():
            # A large mask is no attack: what is none has been refused by now.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                return np.asarray(file)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: no readable mask ({error}); save it as 8-bit grey") from error


def pack_colour(colour: Colour) -> int:
    """RGB as one integer, red the highest byte."""
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def pack_colours(colours: np.ndarray) -> np.ndarray:
    """`pack_colour` of each pixel: uint8 `[h, w, 3]` → int32 `[h, w]`."""
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def look(files: Files, table: ClassTable | None, complain: Complain) -> list[Seen]:
    """The values of every mask file; files that cannot be read are complained about and left out."""
    found = []
    paths = [path for masks in files.masks.values() for path in masks]
    for path in tqdm(paths, desc="looking at masks", unit="file", disable=None, leave=False):
        try:
            mask = read_mask(path, table.known if table else ())
        except UserError as error:
            complain(str(error))
        else:
            coloured = mask.ndim == 3
            values, counts = np.unique(pack_colours(mask) if coloured else mask, return_counts=True)
            filled, white = (int(counts[which].sum()) for which in (values != 0, values == WHITE))
            found.append(Seen(path, coloured, frozenset(values.tolist()), filled, 0 if coloured else white))
    return found


def decode(mask: np.ndarray, path: Path, coding: Coding) -> np.ndarray:
    """Labels uint8 `[h, w]` of what `read_mask` gives.

    Returns:
        Of multiclass the class's number in `Coding.names` + 1, since 0 is the inconsistent class; else 0 or
        1; VOID where nothing is said.

    Raises:
        UserError: a value that is no class.
    """
    if coding.values is None:
        return (mask.any(-1) if mask.ndim == 3 else mask > coding.background).astype(np.uint8)
    packed = mask.astype(np.int64)
    if coding.coloured:
        packed = pack_colours(mask if mask.ndim == 3 else np.repeat(mask[..., None], 3, -1)).astype(np.int64)
    values, where = np.unique(packed, return_inverse=True)
    if message := wrong(path, values.tolist(), coding):
        raise UserError(message)
    labels = np.array([coding.values[value] for value in values.tolist()], np.uint8)
    return labels[where].reshape(packed.shape)


def wrong(path: Path, values: Sequence[int], coding: Coding) -> str:
    """The complaint about the values of a file that are no class; empty if all are."""
    assert coding.values is not None
    others = sorted(set(values) - set(coding.values))
    if not others:
        return ""
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    if coding.coloured:
        shown = f"colour #{others[0]:06x}{more} in a mask"
        return f"{path}: {shown}, expected the colours in {CLASSES}; correct the mask or add a line there"
    what = f"{path}: value {others[0]}{more} is no class"
    if coding.kind != "multiclass":
        return f"{what}, expected 0 and 1, or 0 and 255; correct the mask"
    return (
        f"{what}, expected 0 to {len(coding.names) - 1} or 255; correct the mask, name more classes in "
        f"{CLASSES}, or, if values number objects, say that all are foreground (data.label_kind=binary)"
    )
