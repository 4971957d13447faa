"""A contact sheet: every sample as a thumbnail, beside itself with the outlines of its label.

Outlines, and no paint: what an object looks like, and whether its outline fits, is to be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from imjax.data import intensity, outlines
from imjax.data.palette import BLACK, Color
from imjax.data.preprocess import centered_placement, resize_image, resize_label
from imjax.data.spec import VOID, DatasetSpec, is_background_name
from imjax.errors import ErrorCode, UserError

SIDE = 192
"""Height and width of a thumbnail in pixels."""
CAPTION, GAP, COLUMNS, ROWS = 20, 10, 3, 16
WIDTH = 2 * SIDE + 2
"""Of a sample: both images and the space between them."""
PAGE_TILES = COLUMNS * ROWS
"""Samples on a page."""
TEXT_SIZE, TEXT_WEIGHT, LINE, SWATCH = 13, 400, 20, 14
PAPER, INK = (250, 250, 250), (20, 20, 20)
FAINT, DIM, LEAST_GAMMA = 128, 64, 0.5
"""So that it can be seen, an image whose gray levels span fewer than `FAINT` of 255 is stretched, and one
whose median is below `DIM` gets the gamma that brings it there, or `LEAST_GAMMA`."""
HATCH = 6
"""Distance of the lines that mark void, in pixels."""


def draw_outlines(image: np.ndarray, label: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    """Draw the outlines of a label on its image in the dataset's colors; void is hatched.

    Outside of each outline is a line of black or white, so that a color is seen on any ground. Backgrounds
    have no outline of their own.

    Args:
        image: uint8 `[h, w, 3]` RGB.
        label: uint8 `[h, w]`, or multilabel `[h, w, k]`, later ones on top.

    Returns:
        uint8 `[h, w, 3]`.
    """
    out = outlines.draw_outlines(image, list(_list_planes(label, spec)))
    return _hatch(out, label == VOID if label.ndim == 2 else (label == VOID).all(-1))


def _hatch(image: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Draw lines of white beside black over an area bool `[h, w]` of an image, in place."""
    diagonal = np.add.outer(*map(np.arange, area.shape)) % HATCH
    image[area & (diagonal == 0)], image[area & (diagonal == 1)] = outlines.WHITE, BLACK
    return image


def _list_planes(label: np.ndarray, spec: DatasetSpec) -> Iterator[tuple[Color, np.ndarray]]:
    """Color and bool `[h, w]` of each class that is drawn."""
    for number, _, color in _drawn_classes(spec):
        if spec.kind == "multilabel":
            yield color, label[..., number] == 1
        else:
            yield color, label == (number if spec.kind == "multiclass" else 1)


def _drawn_classes(spec: DatasetSpec) -> list[tuple[int, str, Color]]:
    """Number, name and color of the classes that have outlines: no background, and no reserved class."""
    classes = list(enumerate(zip(spec.classes, spec.palette, strict=True)))[int(spec.reserved) :]
    first = int(spec.reserved)
    return [
        (number, name, color)
        for number, (name, color) in classes
        if spec.kind != "multiclass"
        or not (number == first and spec.background)
        and not is_background_name(name)
    ]


def brighten(image: np.ndarray) -> tuple[np.ndarray, bool]:
    """An image uint8 `[h, w, 3]`, brightened where little can be seen in it, and whether that was so."""
    low, high = intensity.percentile_limits(image)
    faint = high - low < FAINT
    shown = intensity.percentile_normalize(image) if faint else image
    median = max(float(np.median(shown)), 1.0)
    if median >= DIM:
        return shown, faint
    gamma = max(np.log(DIM / 255) / np.log(median / 255), LEAST_GAMMA)
    return (255 * (np.arange(256) / 255) ** gamma).round().astype(np.uint8)[shown], True


def make_thumbnail(image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 `[h, w, 3]` and label at a size that fits `SIDE`: shrunk, or enlarged by a whole factor."""
    factor = SIDE // max(image.shape[:2])
    if factor > 1:
        return _enlarge(image, factor), _enlarge(label, factor)
    size = centered_placement(image.shape[:2], (SIDE, SIDE))[2:]
    return resize_image(image, size), resize_label(label, size)


def _enlarge(array: np.ndarray, factor: int) -> np.ndarray:
    return array.repeat(factor, 0).repeat(factor, 1)


class Tile(NamedTuple):
    """One sample on the sheet."""

    name: str
    image: np.ndarray
    """uint8 RGB, as of `make_thumbnail`."""
    outlined: np.ndarray | None
    """The same with outlines; None: there is no mask to show."""
    note: str
    """What stands in place of the outlines."""
    brightened: bool
    has_void: bool

    @property
    def title(self) -> str:
        """What stands above the images."""
        mark = " (brightened)" if self.brightened else ""
        return shorten(self.name, WIDTH - 4 - _text_width(mark)) + mark


def make_tile(
    name: str, image: np.ndarray, label: np.ndarray | None, spec: DatasetSpec | None, note: str
) -> Tile:
    """A sample as it stands on the sheet.

    Args:
        name: of the sample.
        image: uint8 `[h, w, 3]` RGB.
        label: of that size; None: there is none to show.
        spec: of the dataset; None: it could not be decided.
        note: what to write in place of a label.
    """
    shown, brightened = brighten(image)
    if label is None or spec is None:
        shown, _ = make_thumbnail(shown, np.zeros(image.shape[:2], np.uint8))
        return Tile(name, shown, None, note, brightened, False)
    shown, small = make_thumbnail(shown, label)
    has_void = bool((small == VOID).any())
    return Tile(name, shown, draw_outlines(shown, small, spec), note, brightened, has_void)


def save_contact_sheet(tiles: Sequence[Tile], path: Path, spec: DatasetSpec | None) -> list[Path]:
    """Write tiles row by row as PNG, `PAGE_TILES` to a page.

    Args:
        tiles: at least one.
        path: of the first page; the second is `<stem>.page2.png`. Further pages of an earlier sheet are
            removed.
        spec: of the dataset, for the classes' colors.

    Returns:
        The pages.

    Raises:
        UserError: a file cannot be written.
    """
    starts = range(0, len(tiles), PAGE_TILES)
    pages = [path, *(_page_path(path, number) for number in range(2, len(starts) + 1))]
    try:
        for page, start in zip(pages, starts, strict=True):
            page.write_bytes(_encode_page(tiles[start : start + PAGE_TILES], spec))
        number = len(pages) + 1
        while (old := _page_path(path, number)).is_file():
            old.unlink()
            number += 1
    except OSError as error:
        raise UserError(
            f"--sheet={path}: cannot be written: {error.strerror}; name another file",
            code=ErrorCode.UNWRITABLE,
            field="--sheet",
        ) from error
    return pages


def _page_path(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.page{number}{path.suffix}")


def _encode_page(tiles: Sequence[Tile], spec: DatasetSpec | None) -> bytes:
    columns = min(COLUMNS, len(tiles))
    width = columns * (WIDTH + GAP) + GAP
    parts = [_draw_legend(spec, any(tile.has_void for tile in tiles), width)] if spec is not None else []
    for start in range(0, len(tiles), COLUMNS):
        row = tiles[start : start + COLUMNS]
        height = CAPTION + max(len(tile.image) for tile in row)
        strip = np.full((height + GAP, width, 3), PAPER, np.uint8)
        for i, tile in enumerate(row):
            left = GAP + i * (WIDTH + GAP)
            _draw_tile(strip[:height, left : left + WIDTH], tile)
        parts.append(strip)
    _, data = cv2.imencode(".png", np.concatenate(parts)[..., ::-1])
    return data.tobytes()


def _draw_tile(canvas: np.ndarray, tile: Tile) -> None:
    """Draw a tile on its place, uint8 `[h, WIDTH, 3]`."""
    right = WIDTH - SIDE
    _place(canvas, tile.image, 0)
    if tile.outlined is not None:
        _place(canvas, tile.outlined, right)
    else:
        _write(
            canvas, tile.note, right + (SIDE - _text_width(tile.note)) // 2, CAPTION + len(tile.image) // 2
        )
    _write(canvas, tile.title, 2, CAPTION - 6)


def _draw_legend(spec: DatasetSpec, has_void: bool, width: int) -> np.ndarray:
    """Names of the classes in a row, or several, each beside its color: uint8 `[h, width, 3]`."""
    entries = [(name, _draw_swatch(color)) for _, name, color in _drawn_classes(spec)]
    if has_void:
        entries.append(
            ("void", _hatch(np.full((SWATCH, SWATCH, 3), 128, np.uint8), np.ones((SWATCH,) * 2, bool)))
        )
    rows = [np.full((LINE + GAP, width, 3), PAPER, np.uint8)]
    left = GAP
    for name, swatch in entries:
        needed = SWATCH + 6 + _text_width(name) + 2 * GAP
        if left > GAP and left + needed > width:
            rows.append(np.full_like(rows[0], PAPER))
            left = GAP
        rows[-1][GAP : GAP + SWATCH, left : left + SWATCH] = swatch
        _write(rows[-1], shorten(name, width - left - SWATCH - 2 * GAP), left + SWATCH + 6, GAP + SWATCH - 3)
        left += needed
    return np.concatenate(rows)


def _draw_swatch(color: Color) -> np.ndarray:
    swatch = np.full((SWATCH, SWATCH, 3), outlines.choose_rim(color), np.uint8)
    swatch[2:-2, 2:-2] = color
    return swatch


def _place(canvas: np.ndarray, image: np.ndarray, left: int) -> None:
    height, width = image.shape[:2]
    top, left = CAPTION, left + (SIDE - width) // 2
    canvas[top : top + height, left : left + width] = image


def shorten(text: str, width: int) -> str:
    """The text, or its two ends, so that it fills at most so many pixels: names differ at their ends."""
    if _text_width(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        cut = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if _text_width(cut) <= width:
            return cut
    return "…"


def _text_width(text: str) -> int:
    return cv2.getTextSize((0, 0), text, (0, 0), _font(), TEXT_SIZE, TEXT_WEIGHT)[2] if text else 0


def _write(canvas: np.ndarray, text: str, left: int, base: int) -> None:
    # OpenCV takes only arrays whose rows lie one after the other, or views of such.
    drawn = np.ascontiguousarray(canvas)
    cv2.putText(drawn, text, (left, base), INK, _font(), TEXT_SIZE, TEXT_WEIGHT)
    canvas[...] = drawn


def _font() -> cv2.FontFace:
    # Beside Latin letters it has those of most other scripts.
    return cv2.FontFace("sans")
