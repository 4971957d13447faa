"""imjax's own folder (docs/how-to/own_data.md) as annotations, and back: `images`, `masks`, `classes.csv`.

Beside the masks of classes, `instances/<stem>.tif` keeps the objects apart that touch each other.
imjax.predict writes it, too, so that predictions can go to a label tool for correction.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy import ndimage

from imjax.data import tiff
from imjax.data.folder import labelme
from imjax.data.folder.files import IMAGES, MASKS, Files, find_files, find_side_by_side
from imjax.data.folder.mask_file import read_mask
from imjax.data.folder.mask_meaning import GROUND, MaskMeaning, decide_meaning, decode_mask
from imjax.data.folder.tables import CLASSES, VOID_NAME, read_classes
from imjax.data.formats.annotations import (
    AnnotatedImage,
    AnnotationSet,
    Region,
    check_size,
    copy_images,
    format_color,
    make_region,
    write_bytes,
)
from imjax.data.formats.voc import paint_regions, write_indices
from imjax.data.image_file import inspect_image
from imjax.data.palette import BACKGROUND, choose_void_color, index_palette
from imjax.data.spec import VOID, is_background_name
from imjax.errors import ErrorCode, UserError, file_error
from imjax.evaluation.object_numbers import renumber

INSTANCES = "instances"
CORNERS = np.ones((3, 3), bool)
"""Pixels that touch at a corner are one piece."""


def is_folder(folder: Path) -> bool:
    """Whether a folder is of this format."""
    return (folder / MASKS).is_dir()


def read(folder: Path, images: Path | None, label_kind: str) -> AnnotationSet:
    """Read a folder with masks.

    Args:
        folder: with `masks` and, if wanted, `instances` and `classes.csv`.
        images: where the images are, if not in `folder/images`.
        label_kind: what the masks are, as `data.label_kind`.

    Raises:
        UserError: the folder is none that can be trained on.
    """
    problems: list[UserError] = []
    return _read_files(folder, find_files(folder, problems.append, images), label_kind, problems)


def read_side_by_side(folder: Path, label_kind: str) -> AnnotationSet | None:
    """Read a folder in which images and masks lie side by side, as Cellpose saves them.

    Args:
        folder: with `a.tif` and `a_cp_masks.tif`, or other words for a mask; perhaps `classes.csv`.
        label_kind: what the masks are, as `data.label_kind`; Cellpose's number the objects: `binary`.

    Returns:
        None if no file is named as a mask of another one.

    Raises:
        UserError: masks that cannot be read, or with two readings.
    """
    problems: list[UserError] = []
    files = find_side_by_side(folder, problems.append)
    return _read_files(folder, files, label_kind, problems) if files else None


def _read_files(folder: Path, files: Files, label_kind: str, problems: list[UserError]) -> AnnotationSet:
    table = read_classes(folder / CLASSES, problems.append)
    meaning = decide_meaning(folder, files, table, label_kind, problems.append)
    if problems:
        raise problems[0]
    assert meaning is not None, "a meaning that is not found is complained about"
    ground = {name for name in meaning.names if meaning.kind == "multiclass" and is_background_name(name)}
    annotated = []
    for stem, path in files.images.items():
        size = inspect_image(path).turned_size
        if stem not in files.masks:
            annotated.append(AnnotatedImage(path, size, None, path))
            continue
        source = files.masks[stem][0]
        empty = AnnotatedImage(path, size, (), source)
        planes = _list_planes(files, stem, empty, meaning)
        objects = (
            [read_mask(source).pixels] if meaning.numbered else _read_instances(folder, stem, files, empty)
        )
        regions = [
            region
            for number, (name, plane) in enumerate(planes)
            if name not in ground
            for region in _cut_plane(
                name, plane, objects[number if len(objects) > 1 else 0] if objects else None
            )
        ]
        annotated.append(AnnotatedImage(path, size, tuple(regions), source))
    names = tuple(name for name in meaning.names if name not in ground)
    colors = dict(zip(meaning.names, meaning.palette, strict=True))
    return AnnotationSet(names, tuple(annotated), {name: colors[name] for name in names})


def _list_planes(
    files: Files, stem: str, image: AnnotatedImage, meaning: MaskMeaning
) -> list[tuple[str, np.ndarray]]:
    """Name and bool `[h, w]` of each class, and of void where there is some."""
    labels = []
    for path in files.masks[stem]:
        if meaning.shapes is not None:
            labels.append(labelme.paint(path, image.size, meaning.shapes, int(meaning.kind == "multiclass")))
        else:
            labels.append(decode_mask(read_mask(path), path, meaning))
        check_size(image, *labels[-1].shape)
    if meaning.kind == "multilabel":
        return [(name, label == 1) for name, label in zip(meaning.names, labels, strict=True)]
    planes = [(name, labels[0] == value) for value, name in enumerate(meaning.names, 1)]
    return [*planes, (VOID_NAME, labels[0] == VOID)]


def _read_instances(folder: Path, stem: str, files: Files, image: AnnotatedImage) -> list[np.ndarray]:
    """Label images of a mask, of labels one for each; empty where there are none."""
    parts = [folder / INSTANCES / label for label in files.labels] or [folder / INSTANCES]
    paths = [part / f"{stem}.tif" for part in parts]
    if not all(path.is_file() for path in paths):
        return []
    arrays = []
    for path in paths:
        try:
            with tiff.quiet():
                pixels = tifffile.imread(path)
        except (OSError, ValueError, tifffile.TiffFileError) as error:
            raise file_error(
                path, f"no readable TIFF ({error}); write it again", ErrorCode.UNREADABLE
            ) from error
        if pixels.shape != image.size or pixels.dtype.kind not in "ui":
            raise file_error(
                path,
                f"{pixels.dtype} array {pixels.shape}, expected whole numbers {image.size} as of "
                f"{image.path.name}; write it again or remove it",
                ErrorCode.CONFLICT,
            )
        arrays.append(pixels)
    return arrays


def _cut_plane(name: str, plane: np.ndarray, objects: np.ndarray | None) -> Iterator[Region]:
    """A region for each object of a class; what is none's is cut into its pieces."""
    rest = plane
    if objects is not None and name != VOID_NAME:
        rest = plane & (objects == 0)
        yield from _cut_labels(name, renumber(np.where(plane, objects, 0)))
    yield from _cut_labels(name, ndimage.label(rest, CORNERS)[0])


def _cut_labels(name: str, labels: np.ndarray) -> Iterator[Region]:
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        region = make_region(name, labels[box] == number, box[0].start, box[1].start) if box else None
        if region:
            yield region


def write(annotations: AnnotationSet, target: Path, label_kind: str) -> list[str]:
    """Write `images`, `masks`, `instances` and `classes.csv`.

    Images that nobody has looked at have no mask, so that they are unlabeled.

    Args:
        annotations: of any format.
        target: a new folder.
        label_kind: `multilabel` for a folder per label; `multiclass` and `binary`: a region covers those
            before it; `auto`: one mask, and overlap of classes is refused.

    Returns:
        What a person should know, in lines.

    Raises:
        UserError: classes overlap and nothing says which counts, or a file cannot be written.
    """
    looked_at = annotations.drawn
    copy_images(annotations.images, target / IMAGES)
    if label_kind == "multilabel":
        _write_labels(annotations, looked_at, target)
    else:
        _write_classes(annotations, looked_at, target, annotations.paints or label_kind != "auto", label_kind)
    notes = [f"{len(looked_at)} images with a mask, {len(annotations.images) - len(looked_at)} unlabeled"]
    if empty := [image.path.name for image in looked_at if not image.regions]:
        notes.append(
            f"nothing is drawn on {len(empty)} images such as {empty[0]}, so that their masks are all "
            "background; remove these masks if nobody has looked at the images yet"
        )
    return notes


def _write_classes(
    annotations: AnnotationSet,
    looked_at: Sequence[AnnotatedImage],
    target: Path,
    paints: bool,
    label_kind: str,
) -> None:
    names = annotations.names
    if label_kind == "binary" and len(names) > 1:
        # Whatever is drawn is foreground.
        values, rows = {name: 1 for name in names}, [("foreground", 1, annotations.color(names[0]))]
    else:
        values = {name: value for value, name in enumerate(names, 1)}
        rows = [(name, values[name], annotations.color(name)) for name in names]
    found: Counter[int] = Counter()
    # Values count from 1.
    colors = [BACKGROUND, *(color for _, _, color in rows)]
    palette = index_palette(colors)
    for image in looked_at:
        labels, objects = paint_regions(image, {GROUND: 0, VOID_NAME: VOID} | values, paints)
        found.update(np.unique(labels).tolist())
        write_indices(target / MASKS / f"{image.path.stem}.png", labels, palette)
        write_label_image(target / INSTANCES / f"{image.path.stem}.tif", objects)
    if found[0] or len(rows) == 1:
        rows.insert(0, (GROUND, 0, BACKGROUND))
    if found[VOID]:
        rows.append((VOID_NAME, VOID, choose_void_color(colors)))
    lines = [
        ("name", "id", "color"),
        *((name, value, format_color(color)) for name, value, color in rows),
    ]
    _write_csv(target / CLASSES, lines)


def _write_labels(annotations: AnnotationSet, looked_at: Sequence[AnnotatedImage], target: Path) -> None:
    for image in looked_at:
        for name in annotations.names:
            _check_folder_name(name, image.source)
            mask, objects = np.zeros(image.size, np.uint8), np.zeros(image.size, np.int32)
            for number, region in enumerate(image.regions or (), 1):
                if region.name == VOID_NAME:
                    raise file_error(
                        image.source,
                        "void, which masks of labels cannot hold; remove it, or take --label_kind=multiclass",
                        ErrorCode.UNSUPPORTED,
                    )
                if region.name == name:
                    mask[region.box][region.mask] = 255
                    objects[region.box][region.mask] = number
            buffer = io.BytesIO()
            Image.fromarray(mask).save(buffer, "PNG")
            write_bytes(target / MASKS / name / f"{image.path.stem}.png", buffer.getvalue())
            write_label_image(target / INSTANCES / name / f"{image.path.stem}.tif", objects)
    colors = [(name, annotations.hex_color(name)) for name in annotations.names]
    _write_csv(target / CLASSES, [("name", "color"), *colors])


def _check_folder_name(name: str, source: Path) -> None:
    if name != Path(name).name or name.startswith(".") or set(name) & set('\\/:*?"<>|'):
        raise file_error(
            source, f"class {name!r} is the name of no folder; rename the class", ErrorCode.OUT_OF_RANGE
        )


def _write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_bytes(path, text.getvalue().encode())


def write_label_image(path: Path, labels: np.ndarray) -> None:
    """Write numbers of objects as TIFF, 16 bits or, where there are more than those hold, 32.

    Cellpose, napari, StarDist and Fiji open it. UserError if it cannot be written.
    """
    dtype = np.uint16 if labels.max(initial=0) <= np.iinfo(np.uint16).max else np.uint32
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, labels.astype(dtype), photometric="minisblack", compression="zlib")
    write_bytes(path, buffer.getvalue())
