"""From what is in the masks of a folder of one's own to how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imjax.data.folder.files import MASKS, Files
from imjax.data.folder.masks import (
    UNNAMED,
    WHITE,
    LabelEncoding,
    MaskStats,
    find_wrong_values,
    inspect_mask,
    pack_color,
)
from imjax.data.folder.tables import CLASSES, ClassTable, Complain
from imjax.data.palette import BACKGROUND, OBJECTS, object_colors
from imjax.data.spec import VOID
from imjax.errors import ErrorCode, file_error

HALF = 127
"""Largest gray value that counts as background where edges are soft."""


def infer_encoding(
    raw: Path, files: Files, table: ClassTable | None, wanted: str, complain: Complain
) -> LabelEncoding | None:
    """Decide how masks are read, from all of them together, and complain of each that does not fit.

    Args:
        raw: the folder, for messages.
        files: what is in it.
        table: its `classes.csv`.
        wanted: `auto` or a kind, one of `imjax.config.schema.LABEL_KINDS`.

    Returns:
        None where nothing can be decided, after a complaint.
    """
    stats = inspect_mask(files, table, complain)
    if not stats:
        return None
    if files.labels:
        coding = _per_label(files, table, stats, wanted, complain)
    elif wanted == "multilabel":
        complain(
            file_error(
                raw / MASKS,
                "single masks, expected a folder per label for multilabel; sort them so",
                ErrorCode.CONFLICT,
            )
        )
        return None
    elif wanted in ("auto", "binary") and _soft(stats, table):
        why = f"masks of 0 and {WHITE} with soft edges, cut at {HALF}"
        coding = _binary(table, why, background=HALF)
    elif wanted == "binary":
        coding = _binary(table, "all that is not 0 is foreground, as data.label_kind says")
    else:
        coding = _of_values(raw, stats, table, wanted, complain)
    if coding is not None and coding.values is not None:
        for problem in filter(
            None, (find_wrong_values(mask.path, mask.packed(coding), coding) for mask in stats)
        ):
            complain(problem)
    return coding


def _soft(stats: Sequence[MaskStats], table: ClassTable | None) -> bool:
    """Whether gray values in between are the edges of a foreground that is 255, as resizing leaves them.

    Class indices without names end at UNNAMED, and of numbers of objects 255 is one among many.
    """
    if any(mask.colored for mask in stats) or (table is not None and len(table.names) > 2):
        return False
    values = set().union(*(mask.values for mask in stats))
    dim, bright = (any(v in values for v in of) for of in (range(UNNAMED, HALF + 1), range(HALF + 1, WHITE)))
    return dim and bright and 2 * sum(mask.white for mask in stats) >= sum(mask.filled for mask in stats)


def _per_label(
    files: Files, table: ClassTable | None, stats: Sequence[MaskStats], wanted: str, complain: Complain
) -> LabelEncoding | None:
    names = files.labels
    folder = stats[0].path.parent.parent
    if wanted not in ("auto", "multilabel"):
        complain(
            file_error(
                folder,
                f"a folder per label, which is multilabel and not data.label_kind = {wanted!r}",
                ErrorCode.CONFLICT,
            )
        )
        return None
    colors = object_colors(len(names))
    if table is not None and table.colors:
        given = dict(zip(table.names, table.colors, strict=True))
        lacking = [name for name in names if name not in given]
        if lacking:
            complain(
                file_error(
                    folder.parent / CLASSES,
                    f"no line for the folder {lacking[0]!r} of {folder}; add one",
                    ErrorCode.MISSING,
                )
            )
        colors = tuple(given.get(name, OBJECTS[0]) for name in names)
    # 255 is yes here and never void: a mask says of each pixel whether it is of the label.
    values = {0: 0, 1: 1, WHITE: 1}
    if len(names) == 1:
        return LabelEncoding("binary", names, colors, f"one folder in {MASKS}", values)
    return LabelEncoding("multilabel", names, colors, f"a folder per label in {MASKS}", values)


def _of_values(
    raw: Path, stats: Sequence[MaskStats], table: ClassTable | None, wanted: str, complain: Complain
) -> LabelEncoding | None:
    """Kind of masks in single files."""
    grays = set().union(*(mask.values for mask in stats if not mask.colored))
    colored = next((mask for mask in stats if mask.colored), None)
    if colored is not None and (table is None or not table.colors):
        complain(
            file_error(
                colored.path,
                f"color #{max(colored.values):06x} in a mask, expected {raw / CLASSES} with "
                "the header name,color and a line per class; write it, or save masks of class indices",
                ErrorCode.MISSING,
            )
        )
        return None
    if colored is not None or _gray_colors(grays, table):
        assert table is not None
        return _colored(table)
    if wanted == "auto" and grays <= {0, 1, WHITE} and (table is None or len(table.names) <= 2):
        return _two_values(stats, grays, table, complain)
    return _indexed(raw, grays, table, complain)


def _gray_colors(grays: set[int], table: ClassTable | None) -> bool:
    """Whether gray values are colors of the table, and cannot be indices into it."""
    if table is None or not table.colors:
        return False
    colors = {pack_color(color) for color in table.known}
    indices = grays - {WHITE}
    too_large = bool(indices) and max(indices) >= len(table.names)
    return too_large and {pack_color((v, v, v)) for v in grays if v <= WHITE} <= colors


def _colored(table: ClassTable) -> LabelEncoding:
    values = {pack_color(color): i + 1 for i, color in enumerate(table.colors)}
    if table.void is not None:
        values[pack_color(table.void)] = VOID
    why = f"masks of the colors in {CLASSES}"
    return LabelEncoding("multiclass", table.names, table.colors, why, values, colored=True)


def _two_values(
    stats: Sequence[MaskStats], grays: set[int], table: ClassTable | None, complain: Complain
) -> LabelEncoding | None:
    """Binary, with 1 or 255 as the foreground, or with 1 as the foreground and 255 as void."""
    if grays == {0}:
        complain(
            file_error(
                stats[0].path.parent,
                "every mask is 0 everywhere, expected some foreground; check them",
                ErrorCode.OUT_OF_RANGE,
            )
        )
        return None
    if not {1, WHITE} <= grays:
        top = max(grays)
        return _binary(table, f"masks of 0 and {top}", {0: 0, top: 1})
    if any({1, WHITE} <= mask.values for mask in stats):
        return _binary(table, "masks of 0 and 1, with 255 as void", {0: 0, 1: 1, WHITE: VOID})
    ones, white = (next(s for s in stats if value in s.values) for value in (1, WHITE))
    complain(
        file_error(
            ones.path,
            f"values 0 and 1, but {white.path.name} has 0 and 255, expected one way for "
            "all; convert some, or say that all that is not 0 is foreground (data.label_kind=binary)",
            ErrorCode.CONFLICT,
        )
    )
    return None


def _indexed(
    raw: Path, grays: set[int], table: ClassTable | None, complain: Complain
) -> LabelEncoding | None:
    indices = grays - {WHITE}
    if max(indices, default=0) == 0:
        complain(
            file_error(
                raw / MASKS,
                f"no class but 0 in any mask (values {sorted(grays)}), expected class "
                "indices, 255 being void; correct the masks or the lines of classes.csv, or leave "
                "data.label_kind at auto",
                ErrorCode.OUT_OF_RANGE,
            )
        )
        return None
    if table is not None:
        names, source = table.names, f"named in {CLASSES}"
    else:
        count = max(v for v in indices if v < UNNAMED) + 1 if min(indices) < UNNAMED else 1
        names = tuple(f"class {i}" for i in range(count))
        source = f"no {CLASSES} to name them; if they number objects: data.label_kind=binary"
    colors = table.colors if table and table.colors else (BACKGROUND, *object_colors(len(names) - 1))
    values = {i: i + 1 for i in range(len(names))} | {WHITE: VOID}
    why = f"masks of class indices 0 to {max(v for v in values if v != WHITE)}, {source}"
    return LabelEncoding("multiclass", names, colors, why, values)


def _binary(
    table: ClassTable | None, why: str, values: dict[int, int] | None = None, background: int = 0
) -> LabelEncoding:
    """`classes.csv` may name the foreground, or background and foreground."""
    name, color = "foreground", OBJECTS[0]
    if table is not None and len(table.names) <= 2:
        name = table.names[-1]
        color = table.colors[-1] if table.colors else color
    return LabelEncoding("binary", (name,), (color,), why, values, background=background)
