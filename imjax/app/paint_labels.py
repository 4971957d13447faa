"""What a mask that is painted may hold, and what the first masks of a folder shall mean."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from imjax.data.folder.files import Files
from imjax.data.folder.mask_file import WHITE, pack_color, unpack_colors
from imjax.data.folder.mask_meaning import MaskMeaning, decide_meaning
from imjax.data.folder.tables import ClassTable
from imjax.data.palette import OBJECTS
from imjax.data.spec import BACKGROUND_NAMES, VOID
from imjax.errors import ErrorCode, UserError, file_error

PROBE_SIDE = 64
"""Height of the masks that `propose_meaning` asks about, in pixels."""


def ground_label(meaning: MaskMeaning) -> int:
    """The label of what nothing is drawn on: 0, or of several classes the background."""
    if meaning.kind != "multiclass":
        return 0
    for label, name in enumerate(meaning.names, 1):
        if BACKGROUND_NAMES.fullmatch(name):
            return label
    zero = (meaning.values or {}).get(0, VOID)
    return 1 if zero == VOID else zero


def allowed_labels(meaning: MaskMeaning) -> frozenset[int]:
    """Labels that a mask may have, `VOID` among them where a mask can say so."""
    own = range(1, len(meaning.names) + 1) if meaning.kind == "multiclass" else (0, 1)
    void = {VOID} if meaning.values is not None and VOID in meaning.values.values() else set()
    return frozenset({*own} | void)


def propose_meaning(raw: Path, table: ClassTable | None) -> MaskMeaning:
    """What the first masks of a folder shall mean: its classes, or one foreground of 0 and 255.

    Masks are made up and read as any others are, so that training will understand those that are drawn.

    Raises:
        UserError: no kind of mask has exactly the classes of the table.
    """
    if table is None:
        values = {0: 0, WHITE: 1}
        return MaskMeaning("binary", ("foreground",), (OBJECTS[0],), "the first masks", values)
    with tempfile.TemporaryDirectory() as folder:
        for number, pixels in enumerate(_probe_masks(table)):
            path = Path(folder) / f"{number}.png"
            Image.fromarray(pixels).save(path)
            problems: list[UserError] = []
            files = Files({"probe": path}, {"probe": (path,)}, (), ())
            meaning = decide_meaning(raw, files, table, "auto", problems.append)
            if meaning is not None and not problems and {*meaning.names} <= {*table.names, "background"}:
                return meaning
    raise file_error(
        raw / "classes.csv",
        "no mask can be drawn for these classes; give each a color of its own (column color, #rrggbb)",
        ErrorCode.MALFORMED,
    )


def _probe_masks(table: ClassTable) -> Iterator[np.ndarray]:
    """Masks that hold every class, the plainest kind first; the first value fills most of each."""
    if len(table.names) <= 2 and not table.has_ids and not table.colors:
        yield _columns([0, WHITE]).astype(np.uint8)
    if table.colors:
        colors = [pack_color(color) for color in table.known]
        if 0 not in colors and not any(map(BACKGROUND_NAMES.fullmatch, table.names)):
            yield unpack_colors(_columns([0, *colors]))
        yield unpack_colors(_columns(colors))
    ids = [*table.known_ids]
    if min(ids) >= 0 and max(ids) <= WHITE:
        # As many values as classes: without a line for the background, 0 is that and the lines count from 1.
        yield _columns(
            [0, *(id_ + 1 for id_ in ids)] if 0 in ids and not table.has_ids else [0, *ids]
        ).astype(np.uint8)
        yield _columns(ids).astype(np.uint8)


def _columns(values: list[int]) -> np.ndarray:
    """int64 `[PROBE_SIDE, w]`: half of it the first value, and a column of each other."""
    width = max(len(values), 2)
    columns = np.repeat([values[0], *values[1:]], [4 * width, *[4] * (len(values) - 1)])
    return np.broadcast_to(columns, (PROBE_SIDE, len(columns))).copy()
