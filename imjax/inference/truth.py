"""Predictions against masks that a person has drawn: overlap of the classes, objects found, their numbers."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imjax.data.folder import labelme
from imjax.data.folder.files import MASK_ENDINGS, Files, find_masks
from imjax.data.folder.mask_file import read_mask
from imjax.data.folder.mask_meaning import MaskMeaning, decide_meaning, decode_mask
from imjax.data.folder.mask_names import pair_names
from imjax.data.folder.tables import CLASSES, read_classes
from imjax.data.image_io import read_objects
from imjax.data.spec import VOID, DatasetSpec
from imjax.errors import ErrorCode, UserError, file_error
from imjax.evaluation import metrics
from imjax.evaluation.object_matching import ObjectMatches, add_matches, match_objects
from imjax.evaluation.object_numbers import renumber
from imjax.evaluation.objects import LabeledClass, label_objects
from imjax.inference.prediction import Prediction, list_object_classes

COLUMNS = ("file", "class", "iou", "dice", "object_f1", "objects", "true_objects", "count_error")
"""Of comparison.csv."""
MEAN = "mean"
"""What stands for a file in the last rows."""
FLAG = "--truth"


@dataclasses.dataclass(frozen=True)
class Truth:
    """Masks for the images of a folder."""

    folder: Path
    masks: Mapping[str, tuple[Path, ...]]
    """By the stem of the image: one file, with labels one for each, or a file per object."""
    meaning: MaskMeaning | None
    """How the files are read; None: each connected part of each file is an object."""
    numbered: bool
    """Whether the files hold objects, and not only classes."""

    def describe(self) -> str:
        """What was found, for people."""
        what = (
            "the objects are the parts of each file"
            if self.meaning is None
            else "the values number objects"
            if self.numbered
            else f"{self.meaning.describe()}; no numbered objects: the connected parts are taken for them"
        )
        return f"{self.folder}: masks of {len(self.masks)} images; {what}"

    def load(self, stem: str, spec: DatasetSpec) -> tuple[list[LabeledClass], np.ndarray]:
        """The objects of each class in an image's mask, and where the mask says something, bool `[h, w]`.

        Raises:
            UserError: a file is unreadable, or has a value that is no class.
        """
        files, classes = self.masks[stem], list_object_classes(spec)
        if self.meaning is None:
            labels = read_objects(files)
            return [LabeledClass(*classes[0], labels)], np.ones(labels.shape, bool)
        if self.numbered:
            labels = renumber(read_mask(files[0]).pixels).astype(np.int32)
            return [LabeledClass(*classes[0], labels)], np.ones(labels.shape, bool)
        planes = [decode_mask(read_mask(path), path, self.meaning) for path in files]
        if spec.kind == "multilabel":
            order = [self.meaning.names.index(name) for _, name in classes]
            known = np.all([plane != VOID for plane in planes], 0)
            parts = [planes[at] == 1 for at in order]
        elif spec.kind == "binary":
            known, parts = planes[0] != VOID, [planes[0] == 1]
        else:
            # Of several classes the label is the number of the class + 1.
            place = {name: i + 1 for i, name in enumerate(self.meaning.names)}
            known = planes[0] != VOID
            parts = [planes[0] == place[name] for _, name in classes]
        return [
            LabeledClass(index, name, label_objects(part, split=False))
            for (index, name), part in zip(classes, parts, strict=True)
        ], known


def open_truth(folder: Path, spec: DatasetSpec, stems: Iterable[str]) -> Truth:
    """Find the masks of images, and decide how they are read.

    Args:
        folder: masks named after their images, a folder per label, or a folder per image with a file per
            object (`ID/masks/*.png`, as Data Science Bowl 2018 has it).
        spec: of the nets.
        stems: of the images.

    Raises:
        UserError: no mask for any image, masks that cannot be read, or classes that the nets do not have.
    """
    stems = list(stems)
    if not folder.is_dir():
        raise UserError(
            f"{FLAG}={folder}: no such folder; expected one with masks named after their images",
            code=ErrorCode.MISSING,
            field=FLAG,
        )
    if per_image := _find_folders_per_image(folder, stems):
        if spec.kind != "binary":
            raise UserError(
                f"{FLAG}={folder}: a file per object, which tells no class, but the nets have "
                f"{len(list_object_classes(spec))}; give masks of classes",
                code=ErrorCode.CONFLICT,
                field=FLAG,
            )
        return Truth(folder, per_image, None, True)
    files = _find_files(folder, stems)
    problems: list[UserError] = []
    table = next((path for path in (folder / CLASSES, folder.parent / CLASSES) if path.is_file()), None)
    classes = read_classes(table, problems.append) if table else None
    meaning = decide_meaning(folder.parent, files, classes, spec.kind, problems.append)
    if problems:
        raise problems[0]
    assert meaning is not None, "a meaning that is not found is complained about"
    if spec.kind != "binary":
        meaning = _match_names(folder, meaning, spec)
    return Truth(folder, files.masks, meaning, meaning.numbered)


def _find_folders_per_image(folder: Path, stems: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    found = {}
    for stem in stems:
        inner = folder / stem / "masks" if (folder / stem / "masks").is_dir() else folder / stem
        files = (
            sorted(path for path in inner.iterdir() if path.suffix.lower() in MASK_ENDINGS)
            if inner.is_dir()
            else []
        )
        if files:
            found[stem] = tuple(files)
    return found


def _find_files(folder: Path, stems: Sequence[str]) -> Files:
    problems: list[UserError] = []
    images = {stem: folder / stem for stem in stems}
    masks, labels = find_masks(folder, images, problems.append, [])
    if problems:
        raise problems[0]
    outlines = [paths[0] for paths in masks.values() if paths[0].suffix.lower() == labelme.ENDING]
    if outlines:
        raise file_error(
            outlines[0],
            f"outlines, expected masks; make some by imjax convert {folder} MASKS --images=IMAGES",
            ErrorCode.UNSUPPORTED,
        )
    pairs = pair_names(images, masks)
    paired = {image: masks[stem] for stem, image in sorted(pairs.items(), key=lambda pair: pair[1])}
    if not paired:
        raise UserError(
            f"{FLAG}={folder}: no mask of the {len(stems)} images in it; expected files with their stems, "
            f"such as {stems[0] if stems else 'a'}.png",
            code=ErrorCode.MISSING,
            field=FLAG,
        )
    return Files(images, paired, labels, ())


def _match_names(folder: Path, meaning: MaskMeaning, spec: DatasetSpec) -> MaskMeaning:
    """The meaning with the nets' names; without names in the masks the order of the classes decides."""
    names = spec.classes[int(spec.reserved) :]
    if set(names) <= set(meaning.names):
        return meaning
    unnamed = all(name.startswith("class ") for name in meaning.names)
    if unnamed and len(meaning.names) <= len(names):
        ids = [int(name.removeprefix("class ")) for name in meaning.names]
        if max(ids) < len(names):
            order = {i: names[id_] for i, id_ in enumerate(ids)}
            absent = [name for name in names if name not in order.values()]
            return dataclasses.replace(meaning, names=(*order.values(), *absent))
    raise UserError(
        f"{FLAG}={folder}: masks of the classes {', '.join(meaning.names)}, but the nets have "
        f"{', '.join(names)}; give masks of these, with a {CLASSES} that names them",
        code=ErrorCode.CONFLICT,
        field=FLAG,
    )


class Comparison:
    """Predictions of a folder against its truth, image by image."""

    def __init__(self, truth: Truth, spec: DatasetSpec) -> None:
        self._truth, self._spec = truth, spec
        self.rows: list[dict[str, Any]] = []
        """Of comparison.csv, an image and class each."""
        self._matches: dict[str, list[ObjectMatches]] = defaultdict(list)

    def add(self, file: str, stem: str, prediction: Prediction, classes: Sequence[LabeledClass]) -> None:
        """Compare an image, where it has a mask.

        Raises:
            UserError: the mask is unreadable, or of another size than the image.
        """
        if stem not in self._truth.masks:
            return
        truth, known = self._truth.load(stem, self._spec)
        size = prediction.inconsistency.shape
        if known.shape != size:
            raise file_error(
                self._truth.masks[stem][0],
                f"mask of {known.shape[1]}x{known.shape[0]} (w x h), but its image is {size[1]}x{size[0]}; "
                "expected equal sizes",
                ErrorCode.CONFLICT,
            )
        planes = prediction.list_planes()
        for true, found, (_, _, plane) in zip(truth, classes, planes, strict=True):
            self.rows.append(self._compare(file, true, found, plane, known))

    def _compare(
        self, file: str, true: LabeledClass, found: LabeledClass, plane: np.ndarray, known: np.ndarray
    ) -> dict[str, Any]:
        inside, predicted = (true.labels > 0) & known, plane & known
        overlap = metrics.overlap((inside & predicted).sum(), inside.sum(), predicted.sum())
        empty = float(self._spec.empty_iou)
        iou, dice = (empty if np.isnan(value) else float(value) for value in overlap)
        labels = _drop_unknown(found.labels, known)
        matches = match_objects(true.labels, labels)
        self._matches[true.class_name].append(matches)
        truths, objects = matches.matched + matches.missed, matches.matched + matches.spurious
        return {
            "file": file,
            "class": true.class_name,
            "iou": iou,
            "dice": dice,
            "object_f1": matches.f1,
            "objects": objects,
            "true_objects": truths,
            "count_error": abs(objects - truths),
        }

    def table(self) -> list[dict[str, Any]]:
        """`rows` and, for each class, their mean; numbers are rounded."""
        rows = [*self.rows]
        for name in self._matches:
            of_class = [row for row in self.rows if row["class"] == name]
            means = {column: float(np.mean([row[column] for row in of_class])) for column in COLUMNS[2:]}
            rows.append({"file": MEAN, "class": name, **means})
        return [
            {key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()}
            for row in rows
        ]

    def describe(self) -> list[str]:
        """A sentence for each class."""
        lines = []
        for row in self.table()[len(self.rows) :]:
            matches = self._matches[row["class"]]
            overall = add_matches(matches).f1
            lines.append(
                f"{row['class']}: IoU {row['iou']:.3f}, Dice {row['dice']:.3f}, object F1 "
                f"{row['object_f1']:.3f} ({overall:.3f} over all objects), count error "
                f"{row['count_error']:.2f} at {row['true_objects']:.1f} objects; means of "
                f"{len(matches)} images"
            )
        return lines


def _drop_unknown(labels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Without the objects that lie mostly where the mask says nothing."""
    if known.all():
        return labels
    sizes = np.bincount(labels.ravel())
    seen = np.bincount(labels[known], minlength=len(sizes))
    return np.where(2 * seen >= sizes, np.arange(len(sizes)), 0)[labels]
