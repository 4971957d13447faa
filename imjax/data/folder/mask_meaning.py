"""What the values of a folder's masks mean: decided here, once, from all mask files together.

The table of kinds is docs/reference/masks.md. Whatever has two readings is refused with the choices.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from imjax.data.folder import labelme
from imjax.data.folder.files import MASKS, Files
from imjax.data.folder.mask_evidence import (
    MaskEvidence,
    View,
    collect_evidence,
    describe_evidence,
    group_problems,
    number_objects,
)
from imjax.data.folder.mask_file import WHITE, StoredMask, pack_color
from imjax.data.folder.tables import CLASSES, ClassTable, Color, Complain
from imjax.data.palette import BACKGROUND, OBJECTS, object_colors
from imjax.data.spec import BACKGROUND_NAMES, VOID, LabelKind
from imjax.errors import ErrorCode, UserError, file_error

HALF = 127
"""Largest gray value that counts as background where edges are soft."""
UNNAMED = 32
"""Values up to which masks may hold class indices that no `classes.csv` names; as many ids may be larger."""
GROUND = "background"
"""Name of what is no object where the table has none."""
GROUND_NAMES = re.compile(
    r"(back)?ground|backgr\w*|bg|_?background_?|none|nothing|others?|rest|empty|clutter|negative|outside|"
    r"field|"
    r"un(labell?ed|known|classified)|sky|soil|road|floor|wall|water|land|terrain|paper|medium|matrix|tissue|"
    r"stroma|substrate|healthy|normal|skin|(no|non|not)[ _-].*|.*[ _-](background|bg)",
    re.IGNORECASE,
)
"""Names that a class 0 has where it is what surrounds the others."""
LEFT_OUT_NAMES = re.compile(
    r"ignored?|_*ignore_*|unlabell?ed|don'?t[ _-]?care|no[ _-]?data|invalid", re.IGNORECASE
)
"""Names of what other programs leave out."""


@dataclasses.dataclass(frozen=True)
class MaskMeaning:
    """How mask files become labels."""

    kind: LabelKind
    names: tuple[str, ...]
    """Of the foreground, of each class in the order of the labels, or of each label."""
    palette: tuple[Color, ...]
    """RGB, one per name."""
    why: str
    """What the kind was read off, for people."""
    values: Mapping[int, int] | None = None
    """Value in the file → label; None: what is above `cut` is 1."""
    view: View = "stored"
    """Which values of a file count."""
    cut: int = 0
    """Without `values`: the largest gray value that is background."""
    evidence: str = ""
    """What the files hold, for people."""
    notes: tuple[str, ...] = ()
    """What is allowed, and may not be what was meant."""
    shapes: Mapping[str, int] | None = None
    """Of labelme's files: label of a shape → label."""
    numbered: bool = False
    """Whether the values, which are all foreground, number objects."""
    refused: frozenset[Path] = frozenset()
    """Mask files that were complained about when the meaning was decided."""

    def describe(self) -> str:
        """`multiclass, 3 classes: a, b, c (why)`."""
        count, noun = len(self.names), "label" if self.kind == "multilabel" else "class"
        plural = "" if count == 1 else "es" if noun == "class" else "s"
        return f"{self.kind}, {count} {noun}{plural}: {', '.join(self.names)} ({self.why})"


@dataclasses.dataclass(frozen=True)
class _Masks:
    """What there is to decide on."""

    folder: Path
    """`raw/masks`."""
    evidence: Sequence[MaskEvidence]
    table: ClassTable | None
    wanted: str
    view: View = "stored"

    @property
    def values(self) -> frozenset[int]:
        """Of all files."""
        return frozenset().union(*(mask.values(self.view) for mask in self.evidence))

    @property
    def names(self) -> tuple[str, ...]:
        return self.table.names if self.table else ()


def decide_meaning(
    raw: Path, files: Files, table: ClassTable | None, wanted: str, complain: Complain
) -> MaskMeaning | None:
    """Decide what masks mean, from all of them together, and complain of each that does not fit.

    Args:
        raw: the folder, for messages.
        files: what is in it.
        table: its `classes.csv`.
        wanted: `auto` or a kind, one of `imjax.config.schema.LABEL_KINDS`.

    Returns:
        None where nothing can be decided, after a complaint.
    """
    paths = [path for masks in files.masks.values() for path in masks]
    if any(path.suffix.lower() == labelme.ENDING for path in paths):
        return _decide_outlines(paths, table, wanted, complain)
    evidence = collect_evidence(paths, complain)
    if not evidence:
        return None
    try:
        masks = _Masks(raw / MASKS, evidence, _read_whites(raw, table, evidence), wanted)
        masks = dataclasses.replace(masks, view=_choose_view(masks))
        meaning = _decide(masks, files.labels)
        _refuse_nodata(masks, meaning)
        _refuse_inverted(masks, meaning)
    except UserError as error:
        complain(error)
        return None
    wrong = {
        mask.path: problem
        for mask in evidence
        if meaning.values is not None
        and (problem := find_wrong_values(mask.path, mask.values(meaning.view), meaning))
    }
    for problem in group_problems(wrong.values()):
        complain(problem)
    refused = {*paths} - {mask.path for mask in evidence} | {*wrong}
    described = describe_evidence(evidence, meaning.view)
    notes = meaning.notes + tuple(
        f"{name!r} is a class like the others; if its pixels are to be left out, name it void in {CLASSES}"
        for name in meaning.names
        if LEFT_OUT_NAMES.fullmatch(name)
    )
    return dataclasses.replace(meaning, evidence=described, refused=frozenset(refused), notes=notes)


def _refuse_nodata(masks: _Masks, meaning: MaskMeaning) -> None:
    """A value but 0 that the file itself says has no data, and that would be a class."""
    known = masks.table.known_ids if masks.table is not None and masks.table.has_ids else ()
    for mask in masks.evidence:
        value = mask.nodata
        if not value or meaning.view == "color" or value not in mask.values(meaning.view) or value in known:
            continue
        if (1 if meaning.values is None else meaning.values.get(value, VOID)) != VOID:
            raise file_error(
                mask.path,
                f"value {value} has no data by the file's GDAL_NODATA, but is a class by the values of all "
                f"masks; say which by a line for it in {CLASSES} with a column id (void, or a name), or "
                "remove the tag (gdal_edit.py -unsetnodata)",
                ErrorCode.CONFLICT,
            )


def _refuse_inverted(masks: _Masks, meaning: MaskMeaning) -> None:
    """Masks that store black as the largest value, and are mostly foreground as viewers show them.

    ImageJ's inverting lookup table and tifffile's bool arrays store the objects as the largest value, others
    what is shown.
    """
    inverted = [mask for mask in masks.evidence if mask.white_is_zero]
    if not inverted or meaning.kind != "binary" or masks.table is not None or meaning.view == "color":
        return
    total = sum(sum(mask.counts[meaning.view].values()) for mask in inverted)
    shown = total - sum(mask.counts[meaning.view].get(0, 0) for mask in inverted)
    if 2 * shown > total:
        raise file_error(
            inverted[0].path,
            f"white is 0 in {_count_files([mask.path for mask in inverted])} (an inverting lookup table) "
            f"and viewers show {100 * shown / total:.0f} % as white; whether white or black is foreground is "
            f"not clear: say it in {CLASSES} with the header name,id and lines for 0 (black) and {WHITE} "
            "(white), one of them background, or save the masks with black as 0",
            ErrorCode.CONFLICT,
        )


def decode_mask(mask: StoredMask, path: Path, meaning: MaskMeaning) -> np.ndarray:
    """Labels uint8 `[h, w]` of a mask file.

    Returns:
        Of multiclass the class's number in `MaskMeaning.names` + 1, since 0 is the inconsistent class; else 0
        or 1; VOID where nothing is said.

    Raises:
        UserError: a value that is no class.
    """
    if meaning.view == "color" or mask.storage == "color":
        pixels = mask.colors()
    else:
        pixels = mask.shades() if meaning.view == "shade" else mask.pixels
    if meaning.values is None:
        return ((pixels > meaning.cut) | (pixels < 0)).astype(np.uint8)
    values, where = np.unique(pixels, return_inverse=True)
    if problem := find_wrong_values(path, values.tolist(), meaning):
        raise problem
    labels = np.array([meaning.values[value] for value in values.tolist()], np.uint8)
    return labels[where].reshape(pixels.shape)


def find_wrong_values(path: Path, values: Iterable[int], meaning: MaskMeaning) -> UserError | None:
    """The complaint about the values of a file that are no class; None if all are."""
    assert meaning.values is not None
    others = sorted(set(values) - set(meaning.values))
    if not others:
        return None
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    if meaning.view == "color":
        shown = f"color #{others[0]:06x}{more} in a mask"
        message = f"{shown}, expected the colors in {CLASSES}; correct the mask or add a line there"
    elif meaning.kind != "multiclass":
        expected = " or ".join(map(str, sorted(meaning.values)))
        message = f"value {others[0]}{more} is no class, expected {expected}; correct the mask"
    else:
        message = (
            f"value {others[0]}{more} is no class, expected {_shorten(meaning.values)}; correct the mask, "
            f"name more classes in {CLASSES}, or, if values number objects, say that all are foreground "
            "(data.label_kind=binary)"
        )
    return file_error(path, message, ErrorCode.OUT_OF_RANGE)


def _decide_outlines(
    paths: Sequence[Path], table: ClassTable | None, wanted: str, complain: Complain
) -> MaskMeaning | None:
    """What labelme's files mean: their labels are the classes, of `classes.csv` where there is one."""
    pictures = [path for path in paths if path.suffix.lower() != labelme.ENDING]
    if pictures or wanted == "multilabel":
        complain(
            file_error(
                pictures[0] if pictures else paths[0].parent,
                "a mask beside labelme's JSON files, or multilabel with them, expected one kind; convert "
                "them",
                ErrorCode.CONFLICT,
            )
        )
        return None
    labels = _read_outline_labels(paths, table, complain)
    if labels is None:
        return None
    names = labels if table is None else table.names
    ground = next((name for name in names if BACKGROUND_NAMES.fullmatch(name)), None)
    things = tuple(name for name in names if name != ground)
    evidence = f"{len(paths)} files (labelme's outlines) with the labels {', '.join(labels)}"
    why = f"outlines of labelme, what has none is {ground or GROUND}"
    colors = dict(zip(table.names, table.colors, strict=True)) if table and table.colors else {}
    if wanted == "binary" or len(things) == 1 and wanted == "auto":
        name = things[0] if len(things) == 1 else "foreground"
        shapes = {label: int(label != ground) for label in labels}
        color = colors.get(name, OBJECTS[0])
        return MaskMeaning("binary", (name,), (color,), why, shapes=shapes, evidence=evidence)
    ordered = names if ground is not None else (GROUND, *names)
    ordered = (ground or GROUND, *(name for name in ordered if name != (ground or GROUND)))
    plain = dict(zip(ordered, (BACKGROUND, *object_colors(len(ordered) - 1)), strict=True))
    palette = tuple(colors.get(name, plain[name]) for name in ordered)
    shapes = {name: i + 1 for i, name in enumerate(ordered)}
    return MaskMeaning("multiclass", ordered, palette, why, shapes=shapes, evidence=evidence)


def _read_outline_labels(
    paths: Sequence[Path], table: ClassTable | None, complain: Complain
) -> tuple[str, ...] | None:
    """Labels in labelme's files; None after a complaint about a file, or that there are none."""
    outlines, problems = [], []
    for path in paths:
        try:
            outlines.append(labelme.read_outlines(path))
            if table is not None and (unknown := labelme.find_unknown_label(path, outlines[-1], table)):
                raise unknown
        except UserError as error:
            problems.append(error)
    for problem in group_problems(problems):
        complain(problem)
    if problems:
        return None
    labels = labelme.list_names(outlines)
    if not labels:
        complain(
            file_error(
                paths[0].parent, "no shape in any file, expected some; check them", ErrorCode.OUT_OF_RANGE
            )
        )
    return labels or None


def _read_whites(raw: Path, table: ClassTable | None, evidence: Sequence[MaskEvidence]) -> ClassTable | None:
    """The table with 65535 as `WHITE` in its column id, as masks of 16 bits are read."""
    deep = {mask.white for mask in evidence} - {WHITE}
    if table is None or not table.has_ids or not deep & {*table.known_ids}:
        return table
    if WHITE in table.known_ids:
        raise file_error(
            raw / CLASSES,
            f"ids {WHITE} and {max(deep)}, and masks whose largest value is either; give one of them "
            "another id",
            ErrorCode.CONFLICT,
        )
    ids = tuple(WHITE if id_ in deep else id_ for id_ in table.ids)
    return dataclasses.replace(table, ids=ids, void_id=WHITE if table.void_id in deep else table.void_id)


def _choose_view(masks: _Masks) -> View:
    """Whether stored numbers, gray levels or colors are the classes.

    Indices of a palette are, whatever their colors look like, unless the palettes contradict each other or
    `classes.csv`: programs that save any picture of few colors with a palette number them as they come.
    """
    colored = next((mask for mask in masks.evidence if mask.storage == "color"), None)
    has_colors = masks.table is not None and bool(masks.table.colors)
    if colored is not None:
        if has_colors or masks.wanted == "binary":
            return "color"
        raise file_error(
            colored.path,
            f"color #{max(colored.values('color')):06x} in a mask, expected {masks.folder.parent / CLASSES} "
            "with the header name,color and a line per class; write it, save masks of class indices or, if "
            "every object has a color of its own, say that all that is not black is foreground "
            "(data.label_kind=binary)",
            ErrorCode.MISSING,
        )
    indexed = [mask for mask in masks.evidence if mask.storage == "palette"]
    if not indexed or masks.table is not None and masks.table.has_ids:
        return "stored"
    if has_colors and _contradict_table(indexed, masks.table):
        return "color"
    if all(mask.is_ramp for mask in indexed):
        return "shade"
    _refuse_black_class(masks, indexed)
    if conflict := _find_conflict(indexed):
        if has_colors:
            return "color"
        if all("shade" in mask.counts for mask in indexed):
            return "shade"
        raise conflict
    return "stored"


def _refuse_black_class(masks: _Masks, indexed: Sequence[MaskEvidence]) -> None:
    """A colored index 0 beside a black one: programs that number colors as they come leave 0 to any."""
    if masks.table is not None or masks.wanted == "multiclass":
        return
    for mask in indexed:
        black = next((index for index, color in mask.palette.items() if index and not color), None)
        if black is not None and mask.palette.get(0, 0):
            raise file_error(
                mask.path,
                f"index 0 has the color #{mask.palette[0]:06x} and index {black} is black, so that it is not "
                f"clear which is background; name the indices in {CLASSES} with a column id, save the mask "
                "with black as index 0, or say that the indices are classes (data.label_kind=multiclass)",
                ErrorCode.CONFLICT,
            )


def _contradict_table(indexed: Sequence[MaskEvidence], table: ClassTable | None) -> bool:
    """Whether an index has the color that the table gives to another class."""
    assert table is not None
    ids = {pack_color(color): id_ for color, id_ in zip(table.colors, table.ids, strict=True)}
    if table.void is not None and table.void_id is not None:
        ids[pack_color(table.void)] = table.void_id
    used = {pair for mask in indexed for pair in mask.palette.items()}
    return any(color in ids and ids[color] != index for index, color in used)


def _find_conflict(indexed: Sequence[MaskEvidence]) -> UserError | None:
    """The complaint about an index that two files draw in different colors."""
    seen: dict[int, tuple[int, Path]] = {}
    for mask in indexed:
        for index, color in mask.palette.items():
            before, path = seen.setdefault(index, (color, mask.path))
            if before != color:
                return file_error(
                    mask.path,
                    f"index {index} has the color #{color:06x}, but #{before:06x} in {path.name}, so that "
                    f"it is not clear what is the class; name the colors in {CLASSES}, give the indices "
                    "there in a column id, or save all masks with one palette",
                    ErrorCode.CONFLICT,
                )
    return None


def _decide(masks: _Masks, labels: tuple[str, ...]) -> MaskMeaning:
    if labels:
        return _per_label(masks, labels)
    if masks.wanted == "multilabel":
        raise file_error(
            masks.folder,
            "single masks, expected a folder per label for multilabel; sort them so",
            ErrorCode.CONFLICT,
        )
    if masks.values == {0}:
        raise file_error(
            masks.folder,
            "every mask is 0 everywhere, expected some foreground; check them",
            ErrorCode.OUT_OF_RANGE,
        )
    if meaning := _soft_edges(masks):
        return meaning
    if masks.table is not None and not (masks.wanted == "binary" and len(masks.names) > 2):
        if masks.view == "color" or _are_gray_colors(masks, masks.table):
            return _by_colors(dataclasses.replace(masks, view="color"), masks.table)
        if meaning := _two_values_of_table(masks, masks.table) or _by_ids(masks, masks.table):
            return meaning
    if masks.wanted == "binary":
        nothing = "black" if masks.view == "color" else "0"
        meaning = _binary(masks, f"all that is not {nothing} is foreground, as the label kind binary says")
        return dataclasses.replace(
            meaning, numbered=masks.view == "stored" and number_objects(masks.evidence)
        )
    return _by_convention(masks)


def _per_label(masks: _Masks, names: tuple[str, ...]) -> MaskMeaning:
    table, wanted = masks.table, masks.wanted
    if wanted not in ("auto", "multilabel"):
        raise file_error(
            masks.folder,
            f"a folder per label, which is multilabel and not data.label_kind = {wanted!r}",
            ErrorCode.CONFLICT,
        )
    colors = object_colors(len(names))
    if table is not None and table.colors:
        given = dict(zip(table.names, table.colors, strict=True))
        lacking = [name for name in names if name not in given]
        if lacking:
            raise file_error(
                masks.folder.parent / CLASSES,
                f"no line for the folder {lacking[0]!r} of {masks.folder}; add one",
                ErrorCode.MISSING,
            )
        colors = tuple(given[name] for name in names)
    # 255 is yes here and never void: a mask says of each pixel whether it is of the label.
    values = {0: 0, 1: 1, WHITE: 1}
    if len(names) == 1:
        return MaskMeaning("binary", names, colors, f"one folder in {MASKS}", values, masks.view)
    return MaskMeaning("multilabel", names, colors, f"a folder per label in {MASKS}", values, masks.view)


def _soft_edges(masks: _Masks) -> MaskMeaning | None:
    """Gray values in between as the edges of a foreground that is 255, as resizing leaves them.

    Class indices without names end at UNNAMED, and of numbers of objects 255 is one among many.
    """
    if masks.wanted == "multiclass" or masks.view == "color" or len(masks.names) > 2:
        return None
    if masks.table is not None and masks.table.has_ids:
        return None
    dim, bright = (
        any(value in masks.values for value in of)
        for of in (range(UNNAMED, HALF + 1), range(HALF + 1, WHITE))
    )
    counts = [mask.counts[masks.view] for mask in masks.evidence]
    white = sum(count.get(WHITE, 0) for count in counts)
    filled = sum(pixels for count in counts for value, pixels in count.items() if value)
    if not (dim and bright and 2 * white >= filled):
        return None
    why = f"masks of 0 and {WHITE} with soft edges, cut at {HALF}"
    if masks.table is not None and masks.table.colors:
        ground, object_ = _order_two(masks.table)
        if len(masks.names) == 2 and masks.table.colors[ground] == (WHITE,) * 3:
            levels = {value: int(value <= HALF) for value in range(WHITE + 1)}
            why += f"; white is {masks.names[ground]!r} in {CLASSES}"
            name, color = masks.names[object_], masks.table.colors[object_]
            return MaskMeaning("binary", (name,), (color,), why, levels, masks.view)
    return _binary(masks, why, cut=HALF)


def _color_ids(table: ClassTable) -> dict[int, int]:
    """Packed color → position of its class."""
    return {pack_color(color): i for i, color in enumerate(table.colors)}


def _order_two(table: ClassTable) -> tuple[int, int]:
    """Positions of background and foreground in a table of at most two classes."""
    if len(table.names) == 1:
        return 0, 0
    named = [i for i, name in enumerate(table.names) if GROUND_NAMES.fullmatch(name)]
    return (1, 0) if named == [1] else (0, 1)


def _are_gray_colors(masks: _Masks, table: ClassTable) -> bool:
    """Whether gray values are colors of the table.

    Raises:
        UserError: they are, and could be its indices too.
    """
    if not table.colors or table.has_ids:
        return False
    colors = {pack_color(color) for color in table.known}
    white = pack_color((WHITE,) * 3)
    if not {value * 0x010101 for value in masks.values if 0 <= value <= WHITE} <= colors:
        indices = masks.values - {WHITE}
        if WHITE in masks.values and white in _color_ids(table) and indices <= {*table.known_ids}:
            name = table.names[_color_ids(table)[white]]
            raise file_error(
                masks.folder,
                f"values {_shorten(indices)} are no colors of {CLASSES} but lines of it, and 255 is the "
                f"color of {name!r} there, so that it is not clear whether 255 is void; correct the table "
                "or the masks",
                ErrorCode.CONFLICT,
            )
        return False
    by_color = dict(zip(map(pack_color, table.known), table.known_ids, strict=False))
    if not masks.values <= {*table.known_ids}:
        return True
    return any(by_color[value * 0x010101] != value for value in masks.values) and _refuse_two_readings(masks)


def _refuse_two_readings(masks: _Masks) -> bool:
    raise file_error(
        masks.folder,
        f"values {_shorten(masks.values)} are gray colors of {CLASSES} and numbers of its lines, and of "
        "different classes; add a column id with the value of each class",
        ErrorCode.CONFLICT,
    )


def _by_colors(masks: _Masks, table: ClassTable) -> MaskMeaning:
    """Masks of the colors in `classes.csv`; of black and white ones with two classes, binary."""
    where = _color_ids(table)
    void = {} if table.void is None else {pack_color(table.void): VOID}
    if (
        _is_binary(masks)
        and all(mask.storage != "color" for mask in masks.evidence)
        or masks.wanted == "binary"
    ):
        ground, object_ = _order_two(table)
        values = {color: int(i == object_ or len(where) == 1) for color, i in where.items()}
        values = {0: 0} | values | void if len(where) == 1 else values | void
        name = table.names[object_]
        why = (
            f"masks of the colors in {CLASSES}, of which #{pack_color(table.colors[object_]):06x} is {name!r}"
        )
        return MaskMeaning("binary", (name,), (table.colors[object_],), why, values, "color")
    names, colors = table.names, table.colors
    why = f"masks of the colors in {CLASSES}"
    values = {color: i + 1 for color, i in where.items()} | void
    if 0 in masks.values and 0 not in values and not any(map(BACKGROUND_NAMES.fullmatch, names)):
        names, colors = (GROUND, *names), (BACKGROUND, *colors)
        values = {0: 1} | {color: label + (label != VOID) for color, label in values.items()}
        why += f", which has no line for black: {GROUND}"
    return MaskMeaning("multiclass", names, colors, why, values, "color")


def _is_binary(masks: _Masks) -> bool:
    return masks.wanted != "multiclass" and len(masks.names) <= 2


def _two_values_of_table(masks: _Masks, table: ClassTable) -> MaskMeaning | None:
    """Masks of 0 and one other value that is no line of a table of one or two classes."""
    if table.has_ids or not _is_binary(masks) or table.void_id is not None:
        return None
    top = max(masks.values)
    if masks.values - {0, top} or top in table.ids and len(table.ids) > 1 or not top:
        return None
    return _binary(masks, f"masks of 0 and {_stored(masks, top)}", {0: 0, top: 1})


def _by_ids(masks: _Masks, table: ClassTable) -> MaskMeaning | None:
    """Masks of the numbers that `classes.csv` gives its classes, in a column or by its lines."""
    ids, void = list(table.ids), table.void_id
    names, colors = table.names, table.colors
    why = f"values by the column id of {CLASSES}" if table.has_ids else f"named in {CLASSES}"
    indices = masks.values - {WHITE} if WHITE not in table.known_ids else masks.values
    unnamed = False
    if masks.wanted == "auto" and WHITE not in table.known_ids:
        _refuse_mixed(masks)
    if not table.has_ids:
        more = max(indices, default=0) == max(table.known_ids) + 1 and not _has_ground(table)
        unnamed = _has_unnamed_ground(masks, table)
        if more or unnamed:
            ids, void = [id_ + 1 for id_ in ids], None if void is None else void + 1
    if masks.wanted == "binary" and not masks.values <= {*ids, 0, WHITE if void is None else void}:
        return None
    if 0 in masks.values and 0 not in (*ids, void) and not any(map(BACKGROUND_NAMES.fullmatch, names)):
        ids, names = [0, *ids], (GROUND, *names)
        colors = (BACKGROUND, *colors) if colors else ()
        why += f", which has no line for 0: {GROUND}"
    if void is not None:
        why += f", {void} is void"
    elif WHITE in masks.values and WHITE not in ids:
        void = WHITE
        why += f", {WHITE} is void"
    notes = (
        (
            f"{CLASSES} has no line for the background, so that 0, which fills most of each mask, is no "
            f"class of it and 1 is {table.names[0]!r}; if 0 is {table.names[0]!r}, say so by a column id",
        )
        if unnamed
        else ()
    )
    leave_out = {} if void is None else {void: VOID}
    if indices <= {0} and void == WHITE and WHITE not in table.known_ids:
        raise _no_class(masks)
    if _is_binary(dataclasses.replace(masks, table=dataclasses.replace(table, names=names))):
        ground, object_ = _order_two(dataclasses.replace(table, names=names))
        values = {id_: int(i == object_) for i, id_ in enumerate(ids)} | leave_out
        why = f"masks of {_shorten(values)}, {why}"
        color = colors[object_] if colors else OBJECTS[0]
        return MaskMeaning("binary", (names[object_],), (color,), why, values, masks.view)
    if indices <= {0}:
        raise _no_class(masks)
    values = {id_: i + 1 for i, id_ in enumerate(ids)} | leave_out
    colors = colors or (BACKGROUND, *object_colors(len(names) - 1))
    numbers = "class ids" if table.has_ids else "class indices"
    return MaskMeaning(
        "multiclass",
        names,
        colors,
        f"masks of {numbers} {_shorten(ids)}, {why}",
        values,
        masks.view,
        notes=notes,
    )


def _no_class(masks: _Masks) -> UserError:
    return file_error(
        masks.folder,
        f"no class but 0 in any mask (values {_shorten(masks.values)}), expected class indices, 255 "
        "being void; correct the masks or the ids or lines of classes.csv, or leave data.label_kind at auto",
        ErrorCode.OUT_OF_RANGE,
    )


def _has_ground(table: ClassTable) -> bool:
    """Whether the first line looks like what is no object."""
    return bool(GROUND_NAMES.fullmatch(table.names[0])) or table.colors[:1] == ((0, 0, 0),)


def _has_unnamed_ground(masks: _Masks, table: ClassTable) -> bool:
    """Whether 0 is background, for which a table of the things alone has no line.

    It is where no line has a name for it and 0 fills most of each mask. A table that lists void lists
    whatever a pixel may be.

    Raises:
        UserError: one class and void, so that no value can be told.
    """
    if len(table.names) == 1 and table.void_id is not None and 0 in masks.values:
        raise file_error(
            masks.folder.parent / CLASSES,
            f"lines for {table.names[0]!r} and void, and 0 in the masks: which values they are is not said; "
            "add a column id with the value of each",
            ErrorCode.MISSING,
        )
    top = max(masks.values - {WHITE}, default=0)
    if len(table.names) < 2 or table.void_id is not None or not 0 < top <= max(table.ids):
        return False
    if any(map(GROUND_NAMES.fullmatch, table.names)) or _has_ground(table) or _palette_agrees(masks, table):
        return False
    counts = [mask.counts[masks.view] for mask in masks.evidence]
    return all(2 * count.get(0, 0) > sum(count.values()) for count in counts)


def _palette_agrees(masks: _Masks, table: ClassTable) -> bool:
    """Whether an index has the color that the table gives to its class."""
    pairs = {pair for mask in masks.evidence for pair in mask.palette.items()}
    known = zip(table.ids, map(pack_color, table.colors), strict=False)
    return any(pair in pairs for pair in known)


def _by_convention(masks: _Masks) -> MaskMeaning:
    """What numbers without a table usually mean."""
    if len(masks.values) == 1:
        raise file_error(
            masks.folder,
            f"every mask is {min(masks.values)} everywhere, expected background and foreground; check them",
            ErrorCode.OUT_OF_RANGE,
        )
    if masks.wanted == "auto":
        _refuse_mixed(masks)
        low, top = min(masks.values), max(masks.values)
        if masks.values == {low, top} and low == 0:
            return _binary(masks, f"masks of 0 and {_stored(masks, top)}", {0: 0, top: 1})
        if masks.values == {0, 1, WHITE}:
            return _binary(masks, "masks of 0 and 1, with 255 as void", {0: 0, 1: 1, WHITE: VOID})
        _refuse_instances(masks)
    return _indices(masks)


def _stored(masks: _Masks, value: int) -> int:
    """A value as the files have it: 65535 where that was read as WHITE."""
    whites = {mask.white for mask in masks.evidence if value in mask.values(masks.view)}
    return whites.pop() if value == WHITE and len(whites) == 1 else value


def _refuse_mixed(masks: _Masks) -> None:
    """Files of 0 and 255 alone among files of other values: whether 255 is void or foreground is not said."""
    sets = {mask.path: mask.values(masks.view) for mask in masks.evidence}
    # In a palette 255 is an index like others, and void by custom.
    gray = {mask.path for mask in masks.evidence if mask.storage == "gray"}
    others = {path: found - {0, WHITE} for path, found in sets.items() if found - {0, WHITE}}
    rest = frozenset().union(*others.values())
    void_seen = any(WHITE in sets[path] for path in others)
    white = [
        path
        for path, found in sets.items()
        if path in gray
        and WHITE in found
        and path not in others
        and (0 in found or len(rest) == 1 or not void_seen)
    ]
    if not white or not others:
        return
    odd, usual = (white, list(others)) if len(white) < len(others) else (list(others), white)
    plain = 0 <= min(rest) and max(rest) <= UNNAMED
    raise file_error(
        odd[0],
        f"values {_shorten(sets[odd[0]])} in {_count_files(odd)}, but {_shorten(sets[usual[0]])} in "
        f"{usual[0].name}: whether 255 is void or a class is not clear; save all masks one way, or say that "
        "255 is void (data.label_kind=multiclass, or a line for void in classes.csv with a column id), or "
        "that all that is not 0 is foreground (data.label_kind=binary)",
        ErrorCode.CONFLICT if plain else ErrorCode.OUT_OF_RANGE,
    )


def _refuse_instances(masks: _Masks) -> None:
    """Numbers of objects: each one piece, and others in some masks, with gaps where some were deleted."""
    objects = [(mask, _object_numbers(masks, mask)) for mask in masks.evidence]
    objects = [(mask, found) for mask, found in objects if found]
    pieces = [mask.whole.get(value, True) for mask, found in objects for value in found]
    if not objects or sum(pieces) < 0.9 * len(pieces):
        return
    # Of two values that are one piece each, most pairs are classes, unless they count from 1.
    counted = all(found == set(range(1, len(found) + 1)) for _, found in objects)
    several = len(frozenset().union(*(found for _, found in objects))) > 2
    if len({found for _, found in objects}) == 1 or not (counted or several):
        return
    mask, found = max(objects, key=lambda pair: len(pair[1]))
    fewest = min(len(other) for _, other in objects)
    raise file_error(
        mask.path,
        f"{len(found)} values that are one piece each, and others from mask to mask ({fewest} to "
        f"{len(found)} of them), as objects are numbered; say that all are foreground "
        f"(data.label_kind=binary), or, if they are classes, so "
        f"(data.label_kind=multiclass, or name them in {CLASSES})",
        ErrorCode.CONFLICT,
    )


def _object_numbers(masks: _Masks, mask: MaskEvidence) -> frozenset[int]:
    """Values that may number objects: not 0, and not void."""
    found = mask.values(masks.view) - {0}
    return found if WHITE - 1 in found else found - {WHITE}


def _indices(masks: _Masks) -> MaskMeaning:
    """Class indices, or ids of any value, without names."""
    ids = sorted(masks.values - {WHITE})
    if not set(ids) - {0}:
        raise _no_class(masks)
    large = [
        mask.path for mask in masks.evidence if max(mask.values(masks.view) - {WHITE}, default=0) > UNNAMED
    ]
    if len(ids) > UNNAMED or min(ids) < 0 or large and WHITE in masks.values:
        path = next(
            (m.path for m in masks.evidence if m.path in large or min(m.values(masks.view)) < 0), masks.folder
        )
        raise file_error(
            path,
            f"values {_shorten(masks.values)} are more, or others, than class indices have without names; "
            f"name them in {CLASSES} with a column id (255 is a class or void then), or, if they number "
            "objects, say that all are foreground (data.label_kind=binary)",
            ErrorCode.OUT_OF_RANGE,
        )
    if masks.wanted == "auto":
        _refuse_edges(masks, ids)
    dense = ids == list(range(len(ids)))
    what = f"class indices 0 to {ids[-1]}" if dense else f"the class ids {_shorten(ids)}, and no others"
    why = f"masks of {what}, no {CLASSES} to name them; if they number objects: data.label_kind=binary"
    values = {id_: i + 1 for i, id_ in enumerate(ids)} | {WHITE: VOID}
    notes: tuple[str, ...] = ()
    found = [_object_numbers(masks, mask) for mask in masks.evidence]
    if max(map(len, found)) > 1 and all(all(mask.whole.values()) for mask in masks.evidence):
        notes = (
            "each class is one piece in every mask, as numbered objects are; if these are objects and no "
            "classes: data.label_kind=binary",
        )
    names = tuple(f"class {id_}" for id_ in ids)
    colors = (BACKGROUND, *object_colors(len(ids) - 1)) if 0 in ids else object_colors(len(ids))
    return MaskMeaning("multiclass", names, colors, why, values, masks.view, notes=notes)


def _refuse_edges(masks: _Masks, ids: Sequence[int]) -> None:
    """Values most of which are nowhere three pixels wide, as smoothing or resizing leaves them."""
    thick = frozenset().union(*(mask.thick for mask in masks.evidence))
    thin = [id_ for id_ in ids if id_ and id_ not in thick]
    if max(ids) <= UNNAMED or len(thin) < 3 or 2 * len(thin) <= len(ids):
        return
    mask = max(masks.evidence, key=lambda each: len(each.values(masks.view)))
    raise file_error(
        mask.path,
        f"{len(thin)} of {len(ids)} values (such as {_shorten(thin[:3])}) are nowhere three pixels wide, as "
        "edges are in smoothed or resized masks; save the masks without smoothing, or say that all that is "
        "not 0 is foreground (data.label_kind=binary), or that the values are classes "
        f"(data.label_kind=multiclass, or a column id in {CLASSES})",
        ErrorCode.CONFLICT,
    )


def _binary(masks: _Masks, why: str, values: Mapping[int, int] | None = None, cut: int = 0) -> MaskMeaning:
    """`classes.csv` may name the foreground, or background and foreground."""
    name, color = "foreground", OBJECTS[0]
    lone_ground = len(masks.names) == 1 and BACKGROUND_NAMES.fullmatch(masks.names[0])
    if masks.table is not None and len(masks.names) <= 2 and not lone_ground:
        _, object_ = _order_two(masks.table)
        name = masks.names[object_]
        color = masks.table.colors[object_] if masks.table.colors else color
    return MaskMeaning("binary", (name,), (color,), why, values, masks.view, cut)


def _count_files(paths: Sequence[Path]) -> str:
    return "this file" if len(paths) == 1 else f"{len(paths)} files such as this"


def _shorten(values: Iterable[int]) -> str:
    """`0, 10, 20 and 4 more`."""
    found = sorted(set(values))
    return ", ".join(map(str, found[:8])) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
