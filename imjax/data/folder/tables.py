"""The two optional tables of a folder of one's own: `classes.csv` and `splits.csv`.

Functions here and in the other `folder_*` modules hand each problem to `complain` and go on without the thing
in question, so that a check can list all of them at once; each is a `UserError` of one line.
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from imjax.data.splits import SPLITS
from imjax.errors import ErrorCode, UserError, file_error

Problem = tuple[str, ErrorCode]
"""What is wrong with a line of a table, and its code."""
Complain = Callable[[UserError], None]
Color = tuple[int, int, int]

CLASSES, SPLIT_TABLE, CHANNELS = "classes.csv", "splits.csv", "channels.csv"

VOID_NAME = "void"
"""Name in `classes.csv`, in capitals or not, of pixels that nothing counts."""
TAKEN = ("inconsistent",)
"""Names that the program has for itself."""
MOST = 254
"""Classes that fit into 8 bits beside the inconsistent class and VOID."""
COLUMNS = {
    "colour": "color",
    "red": "r",
    "green": "g",
    "blue": "b",
    "index": "id",
    "value": "id",
    "class_id": "id",
    "label_id": "id",
}
"""Other words for columns of the tables."""


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """What `classes.csv` says."""

    names: tuple[str, ...]
    """In the order of the lines."""
    colors: tuple[Color, ...]
    """RGB of each name; empty where the file gives none."""
    void: Color | None = None
    """Color of pixels to leave out."""
    ids: tuple[int, ...] = ()
    """Value of each name in a mask: as the column `id` says or, without one, the number of its line, from 0.
    The line of void has a number, too."""
    void_id: int | None = None
    has_ids: bool = False
    """Whether there is a column `id`."""

    @property
    def known(self) -> tuple[Color, ...]:
        """Every color that a mask may have."""
        return self.colors if self.void is None else (*self.colors, self.void)

    @property
    def known_ids(self) -> tuple[int, ...]:
        """Every value that a mask may have."""
        return self.ids if self.void_id is None else (*self.ids, self.void_id)


@dataclasses.dataclass(frozen=True)
class _ClassLine:
    """A line of `classes.csv`; void's name is `VOID_NAME`."""

    name: str
    color: Color | None
    id: int | None


def suggest_closest(name: str, names: Iterable[str]) -> str:
    """` (nearest: x)` for messages; empty where nothing is near."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.4)
    return f" (nearest: {close[0]})" if close else ""


def read_classes(path: Path, complain: Complain) -> ClassTable | None:
    """Read `classes.csv`: a header, then a class per line.

    Columns are `name` and, if wanted, `color` (`#rrggbb` or `r g b` in 0..255; or three columns `r`, `g`,
    `b`) and `id` (the class's value in the masks). A class of the name `void` is no class: it marks pixels to
    leave out.

    Returns:
        The table, without lines that something was wrong with; None where there is no file or no class in it.
    """
    if not path.is_file():
        return None
    lines: list[_ClassLine] = []
    for number, row in _rows(path, ("name",), complain):
        line = _parse_class_line(row)
        problem = _find_clash(line, lines) if isinstance(line, _ClassLine) else line
        if problem is not None:
            _complain_of_line(path, number, problem, complain)
        elif isinstance(line, _ClassLine):
            lines.append(line)
    classes = [line for line in lines if line.name != VOID_NAME]
    if not 1 <= len(classes) <= MOST:
        complain(
            file_error(
                path,
                f"{len(classes)} classes, expected 1 to {MOST}; add or join some",
                ErrorCode.OUT_OF_RANGE,
            )
        )
        return None
    has_colors = _complain_of_gaps(path, "color", classes, [line.color for line in classes], complain)
    has_ids = _complain_of_gaps(path, "id", lines, [line.id for line in lines], complain)
    ids = {
        line.name: number if line.id is None or not has_ids else line.id for number, line in enumerate(lines)
    }
    void_id = ids.pop(VOID_NAME, None)
    return ClassTable(
        names=tuple(ids),
        colors=tuple(line.color for line in classes if line.color) if has_colors else (),
        void=next((line.color for line in lines if line.name == VOID_NAME), None),
        ids=tuple(ids.values()),
        void_id=void_id,
        has_ids=has_ids,
    )


def _parse_class_line(row: Mapping[str, str]) -> _ClassLine | Problem:
    """A line of classes.csv, or what is wrong with it alone."""
    name, text, number = row["name"], row.get("color", ""), row.get("id", "")
    if name.casefold() == VOID_NAME:
        name = VOID_NAME
    if not name or name in TAKEN:
        return f"name {name!r}, expected one of your own; change the line", ErrorCode.OUT_OF_RANGE
    if not text and any(row.get(channel) for channel in "rgb"):
        text = " ".join(row.get(channel, "") for channel in "rgb")
    color = parse_color(text) if text else None
    if text and color is None:
        return f"color {text!r}, expected #rrggbb or three numbers of 0..255", ErrorCode.MALFORMED
    if number and not re.fullmatch(r"-?[0-9]{1,9}", number):
        return f"id {number!r}, expected the class's value in the masks, a whole number", ErrorCode.MALFORMED
    return _ClassLine(name, color, int(number) if number else None)


def _find_clash(line: _ClassLine, before: Iterable[_ClassLine]) -> Problem | None:
    """What a line of classes.csv has in common with one before it; None if nothing is."""
    for other in before:
        if line.name == other.name:
            return f"name {line.name!r} a second time; rename or remove one of the lines", ErrorCode.CONFLICT
        if line.color is not None and line.color == other.color:
            shown = "#{:02x}{:02x}{:02x}".format(*line.color)
            return f"color {shown} a second time, expected one per class; change one", ErrorCode.CONFLICT
        if line.id is not None and line.id == other.id:
            return f"id {line.id} a second time, expected one per class; change one", ErrorCode.CONFLICT
    return None


def _complain_of_gaps(
    path: Path, column: str, lines: Sequence[_ClassLine], values: Sequence[object], complain: Complain
) -> bool:
    """Whether a column is filled; of one that is for some lines only, complain."""
    missing = [line.name for line, value in zip(lines, values, strict=True) if value is None]
    filled = len(missing) < len(lines)
    if missing and filled:
        complain(
            file_error(
                path,
                f"class {missing[0]!r} has no {column}; expected {column}s for all classes or for none",
                ErrorCode.MISSING,
            )
        )
    return filled and not missing


def _complain_of_line(path: Path, line: int, problem: Problem, complain: Complain) -> None:
    text, code = problem
    complain(file_error(path, f"line {line}: {text}", code))


def parse_color(text: str) -> Color | None:
    """`#rrggbb` or `r g b` → RGB; None for anything else."""
    if match := re.fullmatch(r"#?([0-9a-fA-F]{6})", text):
        red, green, blue = bytes.fromhex(match[1])
        return red, green, blue
    parts = re.split(r"[\s,]+", text)
    if len(parts) == 3 and all(part.isdecimal() and int(part) <= 255 for part in parts):
        return int(parts[0]), int(parts[1]), int(parts[2])
    return None


def read_splits(path: Path, images: Mapping[str, Path], complain: Complain) -> dict[str, str] | None:
    """Read `splits.csv`: a header `image,split`, then file names or stems, and `splits.SPLITS`.

    The British `labelled` and `unlabelled` are read too.

    Args:
        images: the images there are, by stem.

    Returns:
        Stem → split, of the images that are listed; None where there is no file.
    """
    if not path.is_file():
        return None
    splits: dict[str, str] = {}
    for line, row in _rows(path, ("image", "split"), complain):
        name, split = row["image"], row["split"].lower().replace("labelled", "labeled")
        stem = name if name in images else Path(name).stem
        if problem := _find_split_problem(name, stem, row["split"], split, images, splits):
            _complain_of_line(path, line, problem, complain)
        else:
            splits[stem] = split
    return splits


def _find_split_problem(
    name: str, stem: str, text: str, split: str, images: Mapping[str, Path], splits: Mapping[str, str]
) -> Problem | None:
    """What is wrong with a line of splits.csv beside the `splits` before it; None if nothing is."""
    if stem not in images or name not in (stem, images[stem].name):
        near = suggest_closest(name, (image.name for image in images.values()))
        return f"no image {name!r}{near}; correct or remove the line", ErrorCode.UNKNOWN
    if split not in SPLITS:
        return f"split {text!r}, expected one of {', '.join(SPLITS)}", ErrorCode.OUT_OF_RANGE
    if stem in splits:
        return f"image {name!r} a second time; remove one of the lines", ErrorCode.CONFLICT
    return None


def _rows(path: Path, columns: tuple[str, ...], complain: Complain) -> list[tuple[int, dict[str, str]]]:
    """Line numbers and fields by column, stripped; byte order marks, semicolons and tabs are fine."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        complain(
            file_error(
                path, f"cannot be read: {error.strerror}; change its permissions", ErrorCode.UNREADABLE
            )
        )
        return []
    except UnicodeDecodeError:
        complain(
            file_error(path, "not UTF-8; save the table as CSV with UTF-8 encoding", ErrorCode.UNREADABLE)
        )
        return []
    head = lines[0] if lines else ""
    delimiter = next((mark for mark in ";\t" if mark in head), ",")
    fields = [name.strip().lower() for name in head.split(delimiter)]
    fields = [COLUMNS.get(name, name) for name in fields]
    twice = [name for name in fields if name and fields.count(name) > 1]
    if not set(columns) <= set(fields) or twice:
        complain(
            file_error(
                path,
                f"header {head!r}, expected the columns {', '.join(columns)}, each once; correct the "
                "first line",
                ErrorCode.MALFORMED,
            )
        )
        return []
    rows = []
    reader = csv.reader(lines[1:], delimiter=delimiter, skipinitialspace=True)
    for values in reader:
        line = reader.line_num + 1
        if len(values) > len(fields):
            text = f"{len(values)} fields, expected {len(fields)}; quote commas in a field"
            _complain_of_line(path, line, (text, ErrorCode.MALFORMED), complain)
        elif any(value.strip() for value in values):
            padded = [*values, *[""] * (len(fields) - len(values))]
            rows.append((line, {key: value.strip() for key, value in zip(fields, padded, strict=True)}))
    return rows


def read_channels(path: Path, complain: Complain) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """Read `channels.csv`: a header `name,use`, then a line per channel of the images, in their order.

    `use` is yes or no; without it a channel is used.

    Returns:
        Names of all channels and the numbers of those to use; None where there is no file, or after a
        complaint.
    """
    if not path.is_file():
        return None
    names: list[str] = []
    used: list[int] = []
    wrong: list[int] = []
    for line, row in _rows(path, ("name",), complain):
        name, use = row["name"], row.get("use", "").lower() or "yes"
        if not name or name in names or use not in ("yes", "no"):
            text = f"name {name!r}, use {use!r}, expected a name of its own and yes or no; change the line"
            _complain_of_line(path, line, (text, ErrorCode.MALFORMED), complain)
            wrong.append(line)
        elif use == "yes":
            used.append(len(names))
        names.append(name)
    if wrong:
        return None
    if not used:
        complain(file_error(path, "no channel to use, expected one at least; add some", ErrorCode.TOO_FEW))
        return None
    return tuple(names), tuple(used)
