"""The health report of a user's folder: how it will be read, and every problem in one list."""

from __future__ import annotations

import dataclasses
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from imjax.config.schema import Data
from imjax.data import image_meaning, intensity, nodata, pack
from imjax.data.folder import contact_sheet, mask_notes, object_sizes
from imjax.data.folder.reader import Folder, Parts
from imjax.data.image_file import ImageEvidence
from imjax.data.image_meaning import ImageChoices
from imjax.data.palette import to_rgb
from imjax.data.readers.base import Sample
from imjax.data.spec import VOID, DatasetSpec
from imjax.data.split_writer import label_counts, label_names
from imjax.data.splits import choose_evenly, split_sources
from imjax.errors import UserError

MOST_MASKED, MOST_BARE = 300, 24
"""Images with a mask, and without, on the contact sheet at most; of more, as many evenly chosen ones."""

Progress = Callable[[list[Sample], str], Iterable[Sample]]


@dataclasses.dataclass
class FolderReport:
    """What has been seen of a folder so far."""

    problems: dict[str, UserError] = dataclasses.field(default_factory=dict)
    """By their lines, in the order in which they were found, each once."""
    notes: list[str] = dataclasses.field(default_factory=list)
    sizes: Counter[tuple[int, int]] = dataclasses.field(default_factory=Counter)
    """Height and width → images."""
    counts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(256, np.int64))
    """Pixels by label over all masks, see `arrays.label_counts`."""
    pixels: int = 0
    """Pixels of all masks that could be read."""
    things: dict[int, list[np.ndarray]] = dataclasses.field(default_factory=lambda: defaultdict(list))
    """Pixels of the connected parts of each class once packed, mask by mask."""
    labels: dict[str, frozenset[int]] = dataclasses.field(default_factory=dict)
    """Labels of each image with a mask, see `mask_notes.list_labels`."""
    foreground: dict[str, float] = dataclasses.field(default_factory=dict)
    """Of each binary mask with both, the foreground's share."""
    empty: list[str] = dataclasses.field(default_factory=list)
    """Images whose mask has one class only, or nothing."""
    highs: list[float] = dataclasses.field(default_factory=list)
    """Of each image that stays as it is, what `intensity.percentile_normalize` would make white."""
    alike: list[UserError] = dataclasses.field(default_factory=list)
    """What many files have in common, to be said once."""
    void: list[str] = dataclasses.field(default_factory=list)
    """Images with pixels without data."""
    same: dict[Any, list[str]] = dataclasses.field(default_factory=lambda: defaultdict(list))
    """Images by shape and checksum of their pixels."""
    tiles: list[contact_sheet.Tile] = dataclasses.field(default_factory=list)

    def complain(self, problem: UserError) -> None:
        """Take a problem down."""
        self.problems.setdefault(str(problem), problem)


def check_folder(data: Data, page: Path, progress: Progress) -> tuple[str, list[UserError]]:
    """Read everything in `data.dir`, write the contact sheet, and say how the folder is.

    Args:
        data: as for packing.
        page: PNG file of the contact sheet.
        progress: wraps the samples while they are read.

    Returns:
        The report for people, and the problems that keep the folder from being packed.

    Raises:
        UserError: the contact sheet cannot be written.
    """
    report = FolderReport()
    try:
        pack.check_settings(data)
    except UserError as error:
        report.complain(error)
    reader = Folder(data.label_kind, data.rotation_invariant, ImageChoices.of(data))
    parts = reader.survey(Path(data.dir), report.complain)
    meaning = reader.decide_meaning(report.complain)
    reading = reader.read_images(report.complain)
    report.sizes = Counter(_turned_size(each, data) for each in reader.evidence.values())
    spec = reader.spec if meaning and reading else None
    samples = sorted((s for part in parts.values() for s in part), key=lambda s: s.name)
    shown = _choose_shown(samples, reader)
    for sample in progress(samples, "checking") if reading else ():
        # Of the others it has been said that they have no readable header, or other channels.
        if sample.image in reader.evidence:
            _look(reader, sample, spec, data, report, sample.name in shown)
    for problem in image_meaning.group_problems(report.alike):
        report.complain(problem)
    report.notes += reader.files.notes
    lines = [_counts(data, reader), _sizes(data, report)]
    if reading:
        lines.append(f"images: {reader.describe_images()}")
    if meaning:
        lines += [f"masks: {meaning.evidence}", f"labels: {meaning.describe()}"]
        report.notes += meaning.notes
    if spec:
        lines += [*_shares(spec, report), _split(data, parts, spec, report)]
        report.notes += mask_notes.name_inverted_masks(report.foreground)
        report.notes += object_sizes.size_warnings(report.things, spec, data)
    report.notes += intensity.brightness_warnings(report.highs)
    _remark(report)
    if report.tiles:
        pages = contact_sheet.save_contact_sheet(report.tiles, page, spec)
        lines.append(_describe_sheet(pages, report.tiles, reader))
    lines += _listed("note", report.notes) + _listed("problem", list(report.problems))
    return "\n".join(lines), list(report.problems.values())


def _look(
    reader: Folder,
    sample: Sample,
    spec: DatasetSpec | None,
    data: Data,
    report: FolderReport,
    show: bool,
) -> None:
    """Look at one image, of a stack at its slice in the middle, and at its mask."""
    try:
        image, void = reader.load_image(sample)
    except UserError as error:
        report.alike.append(error)
        return
    label: np.ndarray = np.full(image.shape[:-1], VOID, np.uint8)
    masks, readable = {*reader.files.masks.get(sample.name, ())}, False
    # Of the masks that were refused it has been said why.
    if spec and not reader.meaning.refused & masks:
        try:
            label = reader.load_label(sample, image)
            readable = bool(masks)
        except UserError as error:
            report.alike.append(error)
        label = nodata.mark_void(label, void)
    if void.any():
        report.void.append(sample.name)
    if image.ndim == 4:
        image, label = image[len(image) // 2], label[len(image) // 2]
    if not data.percentile_normalize:
        report.highs.append(intensity.percentile_limits(image)[1])
    report.same[(image.shape, zlib.crc32(image.tobytes()))].append(sample.name)
    if spec and (label != VOID).any():
        counts = label_counts(label, spec)
        report.counts += counts
        report.pixels += label.shape[0] * label.shape[1]
        report.labels[sample.name] = mask_notes.list_labels(label, spec)
        if spec.kind == "binary" and 0 < counts[1] < counts[0] + counts[1]:
            report.foreground[sample.name] = counts[1] / (counts[0] + counts[1])
        # Of random crops, each of another scale, no size can be given.
        parts = {} if data.random_crops else object_sizes.measure_objects(label, spec, data)
        for value, areas in parts.items():
            report.things[value].append(areas)
        planes = np.moveaxis(label, -1, 0) if spec.kind == "multilabel" else [label]
        if all(len(np.setdiff1d(np.unique(plane), [VOID])) < 2 for plane in planes):
            report.empty.append(sample.name)
    if show:
        image = intensity.percentile_normalize(image) if data.percentile_normalize else image
        image = to_rgb(image, spec.channel_names if spec else ())
        note = "mask not read" if masks else "no mask"
        report.tiles.append(
            contact_sheet.make_tile(sample.name, image, label if readable else None, spec, note)
        )


def _choose_shown(samples: list[Sample], reader: Folder) -> set[str]:
    """Names of the images on the contact sheet."""
    shown = set()
    for has_mask, most in ((True, MOST_MASKED), (False, MOST_BARE)):
        names = [each.name for each in samples if (each.name in reader.files.masks) == has_mask]
        shown |= {names[i] for i in choose_evenly(len(names), most)}
    return shown


def _describe_sheet(pages: list[Path], tiles: list[contact_sheet.Tile], reader: Folder) -> str:
    """Where the contact sheet is, and what it omits."""
    masks, images = len(reader.files.masks), len(reader.files.images)
    masked = sum(tile.name in reader.files.masks for tile in tiles)
    bare = len(tiles) - masked
    parts = [
        f"{shown} of {count} {what}, evenly chosen" if shown < count else f"all {count} {what}"
        for shown, count, what in (
            (masked, masks, "images with a mask"),
            (bare, images - masks, "images without"),
        )
        if count
    ]
    more = "" if len(pages) == 1 else f" and {pages[1].name} to {pages[-1].name}"
    more = f" and {pages[1].name}" if len(pages) == 2 else more
    return f"contact sheet: {pages[0]}{more}: {' and '.join(parts)}"


def _turned_size(evidence: ImageEvidence, data: Data) -> tuple[int, int]:
    return evidence.turned_size if data.orientation == "apply" else evidence.size


def _counts(data: Data, reader: Folder) -> str:
    images, masks = len(reader.files.images), len(reader.files.masks)
    return f"{data.dir}: {images} images, {masks} with a mask and {images - masks} without"


def _sizes(data: Data, report: FolderReport) -> str:
    """The spread of sizes, and what becomes of them."""
    if not report.sizes:
        return "sizes: none could be read"
    (height, width), count = report.sizes.most_common(1)[0]
    text = f"sizes (w x h): {width}x{height} ({count} images)"
    if len(report.sizes) > 1:
        low, high = np.min(list(report.sizes), axis=0), np.max(list(report.sizes), axis=0)
        text += f", {len(report.sizes)} different, {low[1]} to {high[1]} wide and {low[0]} to {high[0]} high"
    to = f"{data.size[1]}x{data.size[0]}"
    return f"{text}; packed as {to} by resize_mode = {data.resize_mode}"


def _shares(spec: DatasetSpec, report: FolderReport) -> list[str]:
    """A line per class: its share of the pixels of all masks."""
    names = label_names(spec)
    if spec.reserved:
        del names[0]
    if not report.counts[VOID]:
        del names[VOID]
    for i in [i for i in names if not report.counts[i] and report.pixels]:
        report.notes.append(f"class {names[i]!r} is in no mask, so that nothing can be learned of it")
    total = max(report.pixels, 1)
    return [f"  {100 * report.counts[i] / total:5.1f} % {name}" for i, name in names.items()]


def _split(data: Data, parts: Parts, spec: DatasetSpec, report: FolderReport) -> str:
    try:
        split = split_sources(data, parts)
    except UserError as error:
        # What splits.csv lacks has been said already, with its lines.
        if "labeled" not in parts:
            report.complain(UserError(f"{data.dir}: {error}", code=error.code, field=error.field))
        return "split: not possible"
    report.notes += mask_notes.name_unlearned_classes(report.labels, split, spec)
    report.notes += mask_notes.name_small_split(split)
    counts = {name: len(members) for name, members in split.items()}
    how = "as splits.csv says" if "labeled" in parts else f"drawn with seed {data.split_seed}"
    return "split: " + ", ".join(f"{count} {name}" for name, count in counts.items()) + f" ({how})"


def _remark(report: FolderReport) -> None:
    """Notes of what is allowed, and odd."""
    if report.empty:
        report.notes.append(f"one class only, or nothing, in the mask of {_names(report.empty)}")
    if report.void:
        report.notes.append(f"pixels without data, which are void, in {_names(report.void)}")
    for names in report.same.values():
        if len(names) > 1:
            report.notes.append(
                f"the same pixels in {_names(names)}; a copy in the test set flatters, keep one of them"
            )


def _names(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _listed(what: str, lines: list[str]) -> list[str]:
    if not lines:
        return [f"{what}s: none"]
    return [f"{what}s: {len(lines)}", *(f"  {line}" for line in lines)]
