"""What all mask files of a folder hold, gathered once per file: the evidence for what their values mean."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from imjax.data.folder.mask_file import WHITE, Storage, StoredMask, read_mask
from imjax.data.folder.tables import Complain
from imjax.errors import UserError
from imjax.log import track

View = Literal["stored", "shade", "color"]
"""What of a file counts: its stored numbers, the gray levels that viewers show, or their colors."""

MOST_PIECES = 64
"""Values of a file up to which it is looked at in how many pieces each lies; more are no classes."""
WHOLE = 0.9
"""Share of a value's pixels in its largest piece from which it counts as one piece."""


@dataclasses.dataclass(frozen=True)
class MaskEvidence:
    """What is in one mask file."""

    path: Path
    storage: Storage
    bits: int
    counts: Mapping[View, Mapping[int, int]]
    """Pixels of each value, by what is looked at: numbers, gray levels, `pack_color`. Files of colors have
    only these; gray levels are left out where colors are no grays."""
    palette: Mapping[int, int]
    """Index in use → `pack_color`."""
    is_ramp: bool
    """No palette, or one that is a way to store grays: black and white, or all grays in their order."""
    white: int
    """What is read as `WHITE`: that, or the largest value of the file's depth."""
    whole: Mapping[int, bool]
    """Stored number but 0 → whether its pixels are one piece; empty where there are too many."""
    thick: frozenset[int] = frozenset()
    """Of these numbers those that fill 3x3 pixels somewhere."""
    white_is_zero: bool = False
    nodata: int | None = None
    """Value that the file itself says has no data."""

    def values(self, view: View) -> frozenset[int]:
        """What there is to see."""
        return frozenset(self.counts[view])


def collect_evidence(paths: Iterable[Path], complain: Complain) -> list[MaskEvidence]:
    """Look at every mask file; those that cannot be read are complained about and left out."""
    found = []
    problems = []
    for path in track(list(paths), "looking at masks"):
        try:
            found.append(_look_at(path, read_mask(path)))
        except UserError as error:
            problems.append(error)
    for problem in group_problems(problems):
        complain(problem)
    return found


def number_objects(evidence: Sequence[MaskEvidence]) -> bool:
    """Whether gray values number objects: several in one file, and nearly all of them one piece."""
    gray = [mask for mask in evidence if mask.storage == "gray"]
    if len(gray) < len(evidence) or max((len(mask.values("stored")) for mask in gray), default=0) < 3:
        return False
    # Of files with many values the pieces are not counted: so many are no classes.
    pieces = [whole for mask in gray for whole in mask.whole.values()]
    return sum(pieces) >= WHOLE * len(pieces)


def group_problems(problems: Iterable[UserError]) -> list[UserError]:
    """One line for what is wrong with many files alike: the first, and how many more."""
    groups: dict[str, list[UserError]] = {}
    for problem in problems:
        groups.setdefault(str(problem).removeprefix(problem.field), []).append(problem)
    return [
        first
        if not more
        else UserError(f"{first} (and {len(more)} more such files)", code=first.code, field=first.field)
        for first, *more in groups.values()
    ]


def _look_at(path: Path, mask: StoredMask) -> MaskEvidence:
    counts: dict[View, Mapping[int, int]] = {"color": _count(mask.colors())}
    palette, is_ramp = {}, True
    if mask.storage != "color":
        counts["stored"] = _count(mask.pixels)
    if mask.palette is not None:
        palette = {i: int(color) for i, color in zip(*_used(mask), strict=True)}
        is_ramp = _is_ramp(mask.palette)
    if mask.storage == "gray" or mask.palette is not None and not _colored(mask.palette[list(palette)]):
        counts["shade"] = _count(mask.shades())
    whole = _pieces(mask, counts)
    nodata = None if mask.nodata is None or mask.nodata % 1 else int(mask.nodata)
    return MaskEvidence(
        path, mask.storage, mask.bits, counts, palette, is_ramp, mask.white, whole,
        frozenset(value for value in whole if _is_thick(mask.pixels == value)),
        mask.white_is_zero, WHITE if nodata == mask.white else nodata,
    )  # fmt: skip


def _count(pixels: np.ndarray) -> dict[int, int]:
    values, counts = np.unique(pixels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _used(mask: StoredMask) -> tuple[list[int], list[int]]:
    """Indices in use and their packed colors."""
    indices, first = np.unique(mask.pixels, return_index=True)
    return indices.tolist(), mask.colors().ravel()[first].tolist()


def _colored(colors: np.ndarray) -> bool:
    return bool((colors != colors[:, :1]).any())


def _is_ramp(palette: np.ndarray) -> bool:
    if _colored(palette):
        return False
    levels = palette[:, 0].astype(int)
    rising = np.arange(256)
    # What a palette does not list is black; a picture of two colors lists two.
    bilevel = sorted(levels[:2].tolist()) == [0, 255] and not levels[2:].any()
    sixteen = not levels[16:].any() and any(
        (levels[:16] == order).all() for order in (rising[:16] * 17, rising[15::-1] * 17)
    )
    return bilevel or sixteen or bool((levels == rising).all() or (levels == rising[::-1]).all())


def _pieces(mask: StoredMask, counts: Mapping[View, Mapping[int, int]]) -> dict[int, bool]:
    values = {value: count for value, count in counts.get("stored", {}).items() if value}
    if len(values) > MOST_PIECES:
        return {}
    return {value: _largest_piece(mask.pixels == value) >= WHOLE * count for value, count in values.items()}


def _is_thick(plane: np.ndarray) -> bool:
    """Whether a bool plane holds a square of 3x3."""
    return bool(cv2.erode(plane.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).any())


def _largest_piece(plane: np.ndarray) -> int:
    """Pixels of the largest connected part of a bool plane, corners joining."""
    areas = cv2.connectedComponentsWithStats(plane.astype(np.uint8), connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    return int(areas.max(initial=0))


def describe_evidence(evidence: Sequence[MaskEvidence], view: View) -> str:
    """`12 files, palette of 8 bits, with the indices 0, 1, 7`."""
    kinds = Counter(
        f"{mask.storage}, {mask.bits} bit{'s' if mask.bits > 1 else ''}"
        + (", white is 0, shown as viewers do" if mask.white_is_zero else "")
        for mask in evidence
    )
    stored = ", ".join(
        f"{count} files ({kind})" if count > 1 else f"1 file ({kind})"
        for kind, count in sorted(kinds.items())
    )
    values = sorted(set().union(*(mask.values(view) for mask in evidence)))
    whites = {mask.white for mask in evidence if WHITE in mask.values(view)}
    if view != "color" and len(whites) == 1:
        values = [whites.copy().pop() if value == WHITE else value for value in values]
    show = "#{:06x}".format if view == "color" else str
    shown = ", ".join(map(show, values[:12])) + (f" and {len(values) - 12} more" if len(values) > 12 else "")
    noun = {"color": "colors", "shade": "gray levels"}.get(view)
    if noun is None:
        noun = "indices" if any(mask.storage == "palette" for mask in evidence) else "values"
    return f"{stored} with the {noun} {shown}"
