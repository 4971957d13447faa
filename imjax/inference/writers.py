"""Files that predictions leave: masks, objects, pictures for the eye, and tables."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from imjax.data.folder.mask_file import WHITE
from imjax.data.formats.own_folder import INSTANCES, write_label_image
from imjax.data.formats.voc import write_indices
from imjax.data.image_meaning import GRAY, RGB, ImageReading
from imjax.data.palette import BLACK, index_palette, paint_labels, to_rgb
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, UserError, file_error
from imjax.evaluation.objects import DetectedObject, LabeledClass, join_labels
from imjax.inference.prediction import Prediction, list_object_classes

FOLDERS = ("masks", INSTANCES, "colour", "overlay", "inconsistency")
COLUMNS = ("file", "inconsistent_share", "confidence")
"""First columns of predictions.csv; a share per class and a number of objects per class follow."""
OBJECT_COLUMNS = (
    "file", "object", "class", "area", "centroid_row", "centroid_column", "top", "left", "bottom", "right",
    "eccentricity", "touches_rim",
)  # fmt: skip
"""First columns of objects.csv; a mean value per channel follows."""


def class_table(spec: DatasetSpec) -> list[dict[str, Any]]:
    """Rows of classes.csv: value in the masks (multilabel: number of the label, from 0), name, color.

    Classes are counted as the dataset counts them: the class that a net reserves for inconsistent pixels is
    none of them, so that index is the net's output less one there.
    """
    first = int(spec.reserved)
    named = list(zip(spec.classes, spec.palette, strict=True))[first:]
    rows = [(index, *row) for index, row in enumerate(named)]
    if spec.kind == "binary":
        rows = [(0, "background", BLACK), *((WHITE, *row) for row in named)]
    return [
        {"index": index, "name": name, "color": "#{:02x}{:02x}{:02x}".format(*color)}
        for index, name, color in rows
    ]


def folder_name(label: str) -> str:
    """A label's name as that of a folder: what no file system likes becomes an underscore."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]|^\.', "_", label)


def make_folders(spec: DatasetSpec, out: Path) -> None:
    """Make the folders, and write classes.csv.

    Raises:
        UserError: that is not possible.
    """
    labels = [folder_name(name) for name in spec.classes] if spec.kind == "multilabel" else []
    per_label = [f"{folder}/{label}" for folder in ("masks", INSTANCES) for label in labels]
    try:
        for name in (*FOLDERS, *per_label):
            (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--out={out}: cannot be made: {error.strerror}; name another folder",
            code=ErrorCode.UNWRITABLE,
            field="--out",
        ) from error
    write_table(out / "classes.csv", class_table(spec))


def claim_folder(spec: DatasetSpec, out: Path, stems: Collection[str]) -> None:
    """Make sure that OUT holds, once all is written, results of this call only.

    Results of an earlier call for the same images are removed first, so that an image that fails this time
    has no mask of then. predictions.csv, at first without rows, marks the folder as one of predictions.

    Args:
        spec: of the dataset.
        out: with the folders made.
        stems: of the images that are predicted.

    Raises:
        UserError: it has masks of other images, or files in the folders of results that no call has written,
            such as masks drawn by hand.
    """
    present = [path for name in FOLDERS for path in (out / name).rglob("*") if path.is_file()]
    table, fields = out / "predictions.csv", list_fields(spec)
    if present and not _is_table_of_predictions(table):
        raise UserError(
            f"--out={out}: {present[0].relative_to(out).as_posix()} was there before and is no result of "
            "imjax.predict; expected a new or empty folder, name another one",
            code=ErrorCode.CONFLICT,
            field="--out",
        )
    if others := sorted({path.stem for path in present} - set(stems)):
        named = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
        raise UserError(
            f"--out={out}: holds results of an earlier call for {len(others)} other images ({named}), which "
            "would lie among the new ones; name another folder, or delete this one",
            code=ErrorCode.CONFLICT,
            field="--out",
        )
    write_table(table, [], fields)
    try:
        for path in present:
            path.unlink()
    except OSError as error:
        raise file_error(path, f"cannot be replaced: {error.strerror}", ErrorCode.UNWRITABLE) from error


def _is_table_of_predictions(path: Path) -> bool:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])[: len(COLUMNS)] == list(COLUMNS)
    except (OSError, ValueError, csv.Error):
        return False


def list_fields(spec: DatasetSpec) -> list[str]:
    """Columns of predictions.csv."""
    shares = (f"share_{name}" for name in spec.classes[int(spec.reserved) :])
    return [*COLUMNS, *shares, *(f"objects_{name}" for _, name in list_object_classes(spec))]


def write_images(image: np.ndarray, prediction: Prediction, out: Path, stem: str) -> None:
    """Write an image's mask (multilabel: one per label) and its three pictures.

    Masks are to be seen in any viewer: 0 and 255, or class indices with a palette of the classes' colors.

    Args:
        image: uint8 `[h, w, c]`.
        prediction: of the same height and width.
        out: with the folders made.
        stem: of the files.

    Raises:
        UserError: a file cannot be written.
    """
    spec, mask = prediction.spec, prediction.mask
    if spec.kind == "multilabel":
        for channel, name in enumerate(spec.classes):
            _write_png(out / "masks" / folder_name(name) / f"{stem}.png", WHITE * mask[..., channel])
    elif spec.kind == "binary":
        _write_png(out / "masks" / f"{stem}.png", WHITE * mask)
    else:
        colors = index_palette(spec.palette[int(spec.reserved) :])
        write_indices(out / "masks" / f"{stem}.png", mask, colors)
    color = paint_labels(spec, prediction.output)
    _write_png(out / "colour" / f"{stem}.png", color)
    _write_png(out / "overlay" / f"{stem}.png", overlay(spec, image, prediction.output, color))
    inconsistent = np.where(prediction.inconsistency, 255, 0).astype(np.uint8)
    _write_png(out / "inconsistency" / f"{stem}.png", inconsistent)


def write_instances(classes: Sequence[LabeledClass], prediction: Prediction, out: Path, stem: str) -> None:
    """Write the label image of an image's objects, `instances/<stem>.tif` (multilabel: one per label).

    16 bits, or 32 where there are more objects than those hold, which Cellpose, napari, StarDist and Fiji
    open.

    Args:
        classes: of `prediction`.
        prediction: of the image.
        out: with the folders made.
        stem: of the file.

    Raises:
        UserError: a file cannot be written.
    """
    if prediction.spec.kind == "multilabel":
        for each in classes:
            write_label_image(out / INSTANCES / folder_name(each.class_name) / f"{stem}.tif", each.labels)
    else:
        write_label_image(out / INSTANCES / f"{stem}.tif", join_labels(classes, prediction.mask.shape))


class ObjectTable:
    """objects.csv, written image by image: of many images the rows would fill the memory.

    Use it in a `with` block; the file is there once the block ends.
    """

    def __init__(self, path: Path, spec: DatasetSpec, reading: ImageReading) -> None:
        """`spec` and `reading` say which channels have a mean value."""
        channels = reading.used_names or (GRAY if spec.channels == 1 else RGB)
        self._means = [f"mean_{name}" for name in channels] if len(channels) > 1 else ["mean_intensity"]
        self._path, self._temporary = path, path.with_name(path.name + ".tmp")

    def __enter__(self) -> ObjectTable:
        try:
            self._file = self._temporary.open("w", newline="", encoding="utf-8")
        except OSError as error:
            raise self._error(error) from error
        self._writer = csv.writer(self._file)
        self._write([(*OBJECT_COLUMNS, *self._means)])
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()
            os.replace(self._temporary, self._path)
        except OSError as error:
            raise self._error(error) from error

    def add(self, file: str, objects: Sequence[DetectedObject]) -> None:
        """Write the rows of an image; UserError if that is not possible."""
        self._write(
            (
                file, each.label, each.class_name, each.area, *(round(at, 2) for at in each.centroid),
                *each.bbox, round(each.eccentricity, 4), int(each.touches_rim),
                *(f"{mean:.6g}" for mean in each.mean_intensity),
            )
            for each in objects
        )  # fmt: skip

    def _write(self, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self._writer.writerows(rows)
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> UserError:
        return file_error(self._path, f"cannot be written: {error.strerror}", ErrorCode.UNWRITABLE)


def overlay(spec: DatasetSpec, image: np.ndarray, label: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Image and colors half and half where there is an object, uint8 RGB `[h, w, 3]`.

    Every class is an object, except class 0 where that is a background.
    """
    base = to_rgb(image, spec.channel_names)
    if spec.kind == "multilabel":
        objects = np.any(label, -1)
    else:
        objects = label > 0 if spec.kind == "binary" or spec.background else np.ones(label.shape, bool)
    mixed = (base.astype(np.uint16) + color + 1) // 2
    return np.where(objects[..., None], mixed, base).astype(np.uint8)


def make_row(file: str, prediction: Prediction, objects: Sequence[DetectedObject]) -> dict[str, Any]:
    """An image's line of predictions.csv: pixels' shares and a mask's estimated IoU, 0..1; object counts."""
    numbers = Counter(each.class_index for each in objects)
    names, mask = prediction.classes, prediction.mask
    if prediction.spec.kind == "multilabel":
        shares = mask.mean((0, 1))
    else:
        first = 1 if prediction.spec.kind == "binary" else 0
        counts = np.bincount(mask.ravel(), minlength=first + len(names))
        shares = counts[first:] / mask.size
    return {
        "file": file,
        "inconsistent_share": round(float(prediction.inconsistency.mean()), 6),
        "confidence": round(prediction.confidence, 6),
        **{f"share_{name}": round(float(share), 6) for name, share in zip(names, shares, strict=True)},
        **{f"objects_{name}": numbers[index] for index, name in list_object_classes(prediction.spec)},
    }


def rank_for_labeling(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows in the order in which masks are of most use: those that are likely to be worst first."""
    return sorted(rows, key=lambda row: (row["confidence"], -row["inconsistent_share"], row["file"]))


def write_table(path: Path, rows: list[dict[str, Any]], fields: Sequence[str] = ()) -> None:
    """Write a csv file that is whole or not there; UserError if that is not possible.

    Args:
        path: the file.
        rows: column → cell.
        fields: the columns; without them those of the first row.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fields or rows[0])
            writer.writeheader()
            writer.writerows(rows)
        os.replace(temporary, path)
    except OSError as error:
        raise file_error(path, f"cannot be written: {error.strerror}", ErrorCode.UNWRITABLE) from error


def _write_png(path: Path, pixels: np.ndarray) -> None:
    turned = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    # Encoded in memory: OpenCV's own writing fails on some names, and without a reason on a full disk.
    data = cv2.imencode(".png", np.ascontiguousarray(turned))[1]
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise file_error(path, f"cannot be written: {error.strerror}", ErrorCode.UNWRITABLE) from error
