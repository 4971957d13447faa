"""The two optional tables of a folder of one's own: `classes.csv` and `splits.csv`.

Functions here and in the other `folder_*` modules hand each problem to `complain` and go on without the thing
in question, so that a check can list all of them at once; each is a `UserError` of one line.
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from imjax.data.splits import SPLITS
from imjax.errors import ErrorCode, UserError, file_error

Problem = tuple[str, ErrorCode]
"""What is wrong with a line of a table, and its code."""
Complain = Callable[[UserError], None]
Color = tuple[int, int, int]

CLASSES, SPLIT_TABLE, CHANNELS = "classes.csv", "splits.csv", "channels.csv"

VOID_NAME = "void"
"""Name in `classes.csv` of the color of pixels that nothing counts."""
TAKEN = ("inconsistent",)
"""Names that the program has for itself."""
MOST = 254
"""Classes that fit into 8 bits beside the inconsistent class and VOID."""


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """What `classes.csv` says."""

    names: tuple[str, ...]
    """In the order of the lines, which is that of the indices."""
    colors: tuple[Color, ...]
    """RGB of each name; empty where the file gives none."""
    void: Color | None = None
    """Color of pixels to leave out."""

    @property
    def known(self) -> tuple[Color, ...]:
        """Every color that a mask may have."""
        return self.colors if self.void is None else (*self.colors, self.void)


def suggest_closest(name: str, names: Iterable[str]) -> str:
    """` (nearest: x)` for messages; empty where nothing is near."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.4)
    return f" (nearest: {close[0]})" if close else ""


def read_classes(path: Path, complain: Complain) -> ClassTable | None:
    """Read `classes.csv`: a header `name,color` (or `colour`), then a class per line; colors are optional.

    Colors are `#rrggbb` or `r g b` in 0..255. A class of the name `void` is no class: its color marks
    pixels to leave out.

    Returns:
        The table, without lines that something was wrong with; None where there is no file or no class in it.
    """
    if not path.is_file():
        return None
    classes: dict[str, Color | None] = {}
    for line, row in _rows(path, ("name",), complain):
        name, text = row["name"], row.get("color", "")
        color = parse_color(text) if text else None
        if problem := _find_class_problem(name, text, color, classes):
            _complain_of_line(path, line, problem, complain)
        else:
            classes[name] = color
    void = classes.pop(VOID_NAME, None)
    missing = [name for name, color in classes.items() if color is None]
    if missing and len(missing) < len(classes):
        complain(
            file_error(
                path,
                f"class {missing[0]!r} has no color; expected colors for all classes or for none",
                ErrorCode.MISSING,
            )
        )
    if not 1 <= len(classes) <= MOST:
        complain(
            file_error(
                path,
                f"{len(classes)} classes, expected 1 to {MOST}; add or join some",
                ErrorCode.OUT_OF_RANGE,
            )
        )
        return None
    colors = () if missing else tuple(color for color in classes.values() if color is not None)
    return ClassTable(tuple(classes), colors, void)


def _find_class_problem(
    name: str, text: str, color: Color | None, classes: Mapping[str, Color | None]
) -> Problem | None:
    """What is wrong with a line of classes.csv beside the `classes` before it; None if nothing is."""
    if not name or name in TAKEN:
        return f"name {name!r}, expected one of your own; change the line", ErrorCode.OUT_OF_RANGE
    if name in classes:
        return f"name {name!r} a second time; rename or remove one of the lines", ErrorCode.CONFLICT
    if text and color is None:
        return f"color {text!r}, expected #rrggbb or three numbers of 0..255", ErrorCode.MALFORMED
    if color is not None and color in classes.values():
        return f"color {text!r} a second time, expected one per class; change one", ErrorCode.CONFLICT
    return None


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
    """Line numbers and fields by column, stripped; spreadsheets' byte order mark and semicolons are fine."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        complain(
            file_error(path, "not UTF-8; save the table as CSV with UTF-8 encoding", ErrorCode.UNREADABLE)
        )
        return []
    head = lines[0] if lines else ""
    delimiter = ";" if ";" in head else ","
    fields = [name.strip().lower().replace("colour", "color") for name in head.split(delimiter)]
    if not set(columns) <= set(fields):
        complain(
            file_error(
                path,
                f"header {head!r}, expected the columns {', '.join(columns)}; correct the first line",
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
