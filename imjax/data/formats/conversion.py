"""Any format of annotations in, any out: which format files are of is seen from what they hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imjax.data.formats import coco, label_studio, labelme, own_folder, qupath, voc
from imjax.data.formats.annotations import AnnotationSet, ImageIndex, read_json
from imjax.errors import ErrorCode, UserError, file_error

Reader = Callable[[list[Path], ImageIndex], AnnotationSet]

JSON_READERS: tuple[tuple[str, Callable[[Any], bool], Reader], ...] = (
    ("coco", coco.is_content, coco.read),
    ("labelme", labelme.is_content, labelme.read),
    ("label_studio", label_studio.is_content, label_studio.read),
    ("qupath", qupath.is_content, qupath.read),
)
"""Name, how a file's content is recognized, reader of the files of one folder. An empty list is any's."""
WRITERS: dict[str, Callable[[AnnotationSet, Path], None]] = {
    "labelme": labelme.write,
    "coco": coco.write,
    "cvat": voc.write_cvat,
    "label_studio": label_studio.write,
    "voc": voc.write,
    "qupath": qupath.write,
}


def read_annotations(source: Path, images: Path | None, label_kind: str) -> AnnotationSet:
    """Read annotations of any format.

    Args:
        source: a folder, or one JSON file.
        images: where the images are; None: beside the annotations.
        label_kind: of masks in imjax's own folder.

    Raises:
        UserError: of no format that is known, or wrong in it; an image is missing.
    """
    if not source.exists():
        raise UserError(
            f"FROM={source}: no such file or folder; expected annotations",
            code=ErrorCode.MISSING,
            field="FROM",
        )
    if source.is_dir() and own_folder.is_folder(source):
        return own_folder.read(source, images, label_kind)
    index = ImageIndex(images or (source if source.is_dir() else source.parent))
    if source.is_dir() and voc.is_folder(source):
        return voc.read([source], index)
    files = _find_json(source)
    if not files and source.is_dir() and not images:
        if annotations := own_folder.read_side_by_side(source, label_kind):
            return annotations
    if not files:
        raise UserError(
            f"FROM={source}: no annotations found; expected masks, {voc.CLASS_FOLDER} (CVAT, VOC), JSON "
            "of COCO, labelme, Label Studio or QuPath, or masks beside the images (a.tif, a_cp_masks.tif)",
            code=ErrorCode.UNSUPPORTED,
            field="FROM",
        )
    name, reader = _recognize(files[0])
    if others := [path for path in files if _recognize(path)[0] != name]:
        raise file_error(
            others[0],
            f"of {_recognize(others[0])[0]}, but {files[0].name} is of {name}; expected one format, give one "
            "folder or file at a time",
            ErrorCode.CONFLICT,
        )
    return reader(files, index)


def _find_json(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    endings = (".json", qupath.ENDING)
    return [
        path
        for path in sorted(source.rglob("*"))
        if path.suffix.lower() in endings and path.is_file() and not path.name.startswith(".")
    ]


def _recognize(path: Path) -> tuple[str, Reader]:
    content = read_json(path)
    if content == [] and path.suffix.lower() == qupath.ENDING:
        return "qupath", qupath.read
    for name, is_content, reader in JSON_READERS:
        if content != [] and is_content(content):
            return name, reader
    raise file_error(
        path,
        "JSON of no known format, expected that of COCO, labelme, Label Studio (export 'JSON') or QuPath; "
        "export again, or move the file away",
        ErrorCode.UNSUPPORTED,
    )


def write_annotations(annotations: AnnotationSet, target: Path, name: str, label_kind: str) -> list[str]:
    """Write annotations in a format.

    Args:
        annotations: of any format.
        target: a new folder.
        name: `folder`, or one of `WRITERS`.
        label_kind: see `own_folder.write`.

    Returns:
        What a person should know, in lines.

    Raises:
        UserError: the format cannot hold them, or a file cannot be written.
    """
    if name == "folder":
        return own_folder.write(annotations, target, label_kind)
    if label_kind in ("binary", "multiclass"):
        annotations = dataclasses.replace(annotations, paints=True)
    WRITERS[name](annotations, target)
    return []
