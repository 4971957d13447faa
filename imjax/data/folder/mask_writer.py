"""Masks written as those of a folder are: same names, kind of file, values and colors.

So a mask that a net predicted or a person painted can be put among the others.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from imjax.data.folder import labelme
from imjax.data.folder.files import PICTURE_ENDINGS, Files
from imjax.data.folder.mask_file import WHITE, Storage, StoredMask, pack_colors, read_mask, unpack_colors
from imjax.data.folder.mask_meaning import MaskMeaning, decode_mask
from imjax.data.folder.mask_names import pair_names
from imjax.data.palette import Color, index_palette
from imjax.data.splits import choose_evenly
from imjax.errors import ErrorCode, file_error

EXAMPLES = 30
"""Masks that are looked at; what they have in common is the convention."""


@dataclasses.dataclass(frozen=True)
class MaskFormat:
    """How the masks of a folder, or of one label of it, are stored."""

    ending: str = ".png"
    before: str = ""
    """What a mask's stem has before the stem of its image."""
    after: str = ""
    storage: Storage = "gray"
    values: Mapping[int, int] = dataclasses.field(default_factory=lambda: {0: 0, 1: WHITE})
    """Label → gray value, index of the palette, or `pack_color`."""
    palette: np.ndarray | None = None
    """RGB uint8 `[256, 3]`."""
    white: int = WHITE
    """What `WHITE` is stored as."""
    bits: int = 8
    names: Mapping[int, str] | None = None
    """Of labelme's files: label → name of its shapes, the ground left out."""

    def name(self, stem: str) -> str:
        """File name of an image's mask."""
        full = f"{self.before}{stem}{self.after}"
        return (full if pair_names([stem], [full]) == {full: stem} else stem) + self.ending


def learn_formats(files: Files, meaning: MaskMeaning) -> dict[str, MaskFormat]:
    """The convention of a folder's masks, from examples.

    Args:
        files: of the folder, with masks.
        meaning: what their values mean.

    Returns:
        Format by name of the label's folder in `masks`; by an empty name where there are no such folders.

    Raises:
        UserError: a mask cannot be read.
    """
    stems = list(files.masks)
    stems = [stems[i] for i in choose_evenly(len(stems), EXAMPLES)]
    return {
        label: learn_format({stem: files.masks[stem][i] for stem in stems}, meaning)
        for i, label in enumerate(files.labels or ("",))
    }


def default_formats(kind: str, labels: Sequence[str], colors: Sequence[Color]) -> dict[str, MaskFormat]:
    """Where there is no folder to learn from: PNGs of 0 and 255, of multiclass indices with a palette.

    Args:
        kind: of the labels.
        labels: names of the classes, without the reserved one.
        colors: of these.
    """
    if kind == "multilabel":
        return {label: MaskFormat() for label in labels}
    if kind == "binary":
        return {"": MaskFormat()}
    values = {i + 1: i for i in range(len(labels))}
    return {"": MaskFormat(storage="palette", values=values, palette=index_palette(colors))}


def write_mask(folder: Path, stem: str, label: np.ndarray, formats: Mapping[str, MaskFormat]) -> list[Path]:
    """Write an image's mask, or one per label.

    Args:
        folder: stands for the folder's `masks`; made if missing.
        stem: of the image.
        label: uint8 as `decode_mask` gives it, without void: `[h, w]`, multilabel `[h, w, k]` in the order of
            `formats`.
        formats: of `learn_formats`.

    Raises:
        UserError: a file cannot be written.
    """
    planes = np.moveaxis(label, -1, 0) if label.ndim == 3 else [label]
    paths = []
    for (name, form), plane in zip(formats.items(), planes, strict=True):
        path = folder / name / form.name(stem)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if form.names is not None:
                path.write_text(json.dumps(_outline(plane, form.names, stem)), encoding="utf-8")
            else:
                write_picture(path, plane, form)
        except OSError as error:
            raise file_error(path, f"cannot be written: {error.strerror}", ErrorCode.UNWRITABLE) from error
        paths.append(path)
    return paths


def write_picture(path: Path, label: np.ndarray, form: MaskFormat) -> None:
    """Write a mask file, or one label's.

    Args:
        path: its ending decides the kind of file.
        label: uint8 `[h, w]`, keys of `form.values`.
        form: not of outlines.

    Raises:
        UserError: the ending is none of `PICTURE_ENDINGS`.
        OSError: the file cannot be written.
    """
    if path.suffix.lower() not in PICTURE_ENDINGS:
        raise file_error(
            path,
            f"ending {path.suffix!r} cannot be written, expected one of {' '.join(PICTURE_ENDINGS)}; convert "
            "it",
            ErrorCode.UNSUPPORTED,
        )
    is_tiff = path.suffix.lower().startswith(".tif")
    _encode(label, form).save(path, **({"compression": "tiff_adobe_deflate"} if is_tiff else {}))


def plain_format(meaning: MaskMeaning) -> MaskFormat:
    """The convention of a folder that has no mask yet."""
    storage: Storage = "color" if meaning.view == "color" else "gray"
    return MaskFormat(storage=storage, values=_stored_values({}, meaning, storage, None))


def learn_format(examples: Mapping[str, Path], meaning: MaskMeaning) -> MaskFormat:
    """What masks have in common.

    Args:
        examples: stem of the image → its mask, or that of one label.
        meaning: of their values.

    Raises:
        UserError: a mask cannot be read.
    """
    before, after = _common_affixes(examples)
    ending = Counter(path.suffix for path in examples.values()).most_common(1)[0][0]
    if meaning.shapes is not None:
        names = {label: name for name, label in reversed(list(meaning.shapes.items()))}
        # What has no shape is ground.
        names.pop(int(meaning.kind == "multiclass"), None)
        return MaskFormat(ending, before, after, names=names)
    masks = {path: read_mask(path) for path in examples.values()}
    storage = Counter(mask.storage for mask in masks.values()).most_common(1)[0][0]
    if storage == "gray" and meaning.view == "color" and not all(map(_is_gray, meaning.values or ())):
        # Masks of the ground alone look gray, and cannot hold what others will.
        storage = "color"
    alike = {path: mask for path, mask in masks.items() if mask.storage == storage}
    palette = next((mask.palette for mask in alike.values() if mask.palette is not None), None)
    deepest = max(masks.values(), key=lambda mask: (mask.storage == storage, mask.white, mask.bits))
    return MaskFormat(
        ending, before, after, storage, _stored_values(alike, meaning, storage, palette), palette,
        deepest.white, deepest.bits,
    )  # fmt: skip


def _common_affixes(examples: Mapping[str, Path]) -> tuple[str, str]:
    """What most masks' stems have before and after those of their images."""
    found: Counter[tuple[str, str]] = Counter()
    for stem, path in examples.items():
        before, same, after = path.stem.partition(stem)
        found[(before, after) if same else ("", "")] += 1
    return found.most_common(1)[0][0]


def _stored_values(
    masks: Mapping[Path, StoredMask], meaning: MaskMeaning, storage: Storage, palette: np.ndarray | None
) -> dict[int, int]:
    """Label → the value that most of its pixels have in the examples, or else one that means it."""
    counts: dict[int, Counter[int]] = defaultdict(Counter)
    for path, mask in masks.items():
        stored = pack_colors(mask.pixels) if storage == "color" else mask.pixels.astype(np.int64)
        # As one number each, which are counted in a tenth of the time of pairs.
        pairs = stored << 8 | decode_mask(mask, path, meaning)
        for pair, number in zip(
            *(part.tolist() for part in np.unique(pairs, return_counts=True)), strict=True
        ):
            counts[pair & 0xFF][pair >> 8] += number
    found = {label: values.most_common(1)[0][0] for label, values in counts.items()}
    meant = meaning.values if meaning.values is not None else {0: 0, WHITE: 1}
    # Where several values mean the same, black and white are those that a person would choose.
    for value in sorted(meant, key=lambda value: value not in (0, WHITE)):
        found.setdefault(meant[value], _store(value, meaning, storage, palette))
    return found


def _store(value: int, meaning: MaskMeaning, storage: Storage, palette: np.ndarray | None) -> int:
    """A value of `MaskMeaning.values` as files of this storage have it."""
    if storage == "palette" and meaning.view != "stored":
        assert palette is not None, "such a file has one"
        seen = pack_colors(palette) if meaning.view == "color" else palette[:, 0]
        at = np.flatnonzero(seen == value)
        return int(at[0]) if len(at) else value
    if meaning.view == "color" and storage == "gray":
        return value & WHITE
    return value


def _is_gray(color: int) -> bool:
    """Whether a color as of `pack_color` has equal parts."""
    return color == (color & WHITE) * 0x010101


def _encode(label: np.ndarray, form: MaskFormat) -> Image.Image:
    table = np.zeros(256, np.int64)
    for each, value in form.values.items():
        table[each] = value
    stored = table[label]
    if form.storage == "color":
        return Image.fromarray(unpack_colors(stored))
    if form.storage == "palette":
        assert form.palette is not None, "such a file has one"
        image = Image.fromarray(stored.astype(np.uint8), "P")
        image.putpalette(form.palette.tobytes())
        return image
    if form.white != WHITE:
        stored = np.where(stored == WHITE, min(form.white, 65535), stored)
    return Image.fromarray(stored.astype(np.uint8 if form.bits <= 8 else np.uint16))


def _outline(label: np.ndarray, names: Mapping[int, str], stem: str) -> dict[str, Any]:
    """A labelme file: each object an outline, and each hole in it one of the ground."""
    objects = []
    for value, name in names.items():
        count, parts = cv2.connectedComponents((label == value).astype(np.uint8))
        objects += [(name, (parts == i).astype(np.uint8)) for i in range(1, count)]
    drawn = []
    for name, part in objects:
        filled = np.zeros_like(part)
        cv2.drawContours(filled, _find_contours(part), -1, 1, cv2.FILLED)
        shapes = [_polygon(name, outline) for outline in _find_contours(part)]
        shapes += [_polygon(labelme.GROUND_LABEL, hole) for hole in _find_contours(filled & ~part & 1)]
        drawn.append((int(filled.sum()), shapes))
    # What lies in the hole of another is smaller, and is painted after it.
    drawn.sort(key=lambda pair: -pair[0])
    return labelme.format_outlines([shape for _, shapes in drawn for shape in shapes], stem, label.shape)


def _find_contours(plane: np.ndarray) -> Sequence[np.ndarray]:
    return cv2.findContours(plane, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]


def _polygon(label: str, contour: np.ndarray) -> dict[str, Any]:
    points = contour[:, 0].astype(float).tolist()
    # An outline has three points at least; of an object of a pixel or a line some are the same.
    points += points[-1:] * max(0, 3 - len(points))
    return labelme.format_shape(label, points)
