"""Which files of a folder of one's own are read: images, and masks that share their stem."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from imjax.data.folder.tables import Complain, suggest_closest
from imjax.data.image_io import ENDINGS as IMAGE_ENDINGS
from imjax.errors import ErrorCode, file_error

IMAGES, MASKS = "images", "masks"

MASK_ENDINGS = (".png", ".tif", ".tiff", ".bmp")
"""No JPEG, whose compression changes values."""


@dataclasses.dataclass(frozen=True)
class Files:
    """What is there, by stem and sorted."""

    images: dict[str, Path]
    masks: dict[str, tuple[Path, ...]]
    """One file, or with `labels` one for each of them; only of images that are there."""
    labels: tuple[str, ...]
    """Names of the folders in `masks`, where each holds the masks of one label; else empty."""
    notes: tuple[str, ...]
    """What was not read, and is no mistake."""


def find_files(raw: Path, complain: Complain) -> Files:
    """List `raw/images` and `raw/masks`; a missing folder is an empty one, with a complaint.

    Folders inside `images` are not read. Files whose names start with a dot are passed over.
    """
    notes: list[str] = []
    images = _by_stem(raw / IMAGES, IMAGE_ENDINGS, complain, notes)
    for folder in _folders(raw / IMAGES):
        if any(path.suffix.lower() in IMAGE_ENDINGS for path in folder.rglob("*")):
            notes.append(f"{folder}: holds images, which are not read; move them to {raw / IMAGES}")
    if not images:
        expected = f"expected image files ({' '.join(IMAGE_ENDINGS)}) there, and masks in {raw / MASKS}"
        what = "no image in it" if (raw / IMAGES).is_dir() else "folder not found"
        complain(
            file_error(
                raw / IMAGES, f"{what}, {expected}; add them or name another folder", ErrorCode.MISSING
            )
        )
    labels = [path for path in _folders(raw / MASKS) if any(path.iterdir())]
    single = _by_stem(raw / MASKS, MASK_ENDINGS, complain, notes)
    if single and labels:
        complain(
            file_error(
                labels[0],
                "a folder beside masks, expected a folder for every label or none; move it",
                ErrorCode.CONFLICT,
            )
        )
        labels = []
    if labels:
        masks = _per_label(labels, complain, notes)
    else:
        masks = {stem: (path,) for stem, path in single.items()}
    if images and not masks:
        complain(
            file_error(
                raw / MASKS,
                "no mask in it, expected one for some of the images; draw and add some",
                ErrorCode.MISSING,
            )
        )
    for stem in sorted(masks.keys() - images.keys()):
        near = suggest_closest(stem, images)
        complain(
            file_error(
                masks[stem][0],
                f"mask without image of the stem {stem!r}{near}; rename or remove it",
                ErrorCode.MISSING,
            )
        )
    paired = {stem: masks[stem] for stem in images if stem in masks}
    return Files(images, paired, tuple(path.name for path in labels), tuple(notes))


def _per_label(folders: list[Path], complain: Complain, notes: list[str]) -> dict[str, tuple[Path, ...]]:
    masks_by_folder = [_by_stem(folder, MASK_ENDINGS, complain, notes) for folder in folders]
    complete = {}
    for stem in sorted(set().union(*masks_by_folder)):
        lacking = [
            folder for folder, masks in zip(folders, masks_by_folder, strict=True) if stem not in masks
        ]
        if lacking:
            existing = next(masks[stem] for masks in masks_by_folder if stem in masks)
            complain(
                file_error(
                    lacking[0] / existing.name,
                    f"file not found beside {existing}, expected a mask of "
                    "each label; add an all-zero one if the image has nothing of it",
                    ErrorCode.MISSING,
                )
            )
        else:
            complete[stem] = tuple(masks[stem] for masks in masks_by_folder)
    return complete


def _by_stem(folder: Path, endings: tuple[str, ...], complain: Complain, notes: list[str]) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    others = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_symlink() and not path.exists():
            complain(
                file_error(
                    path,
                    "a link that leads nowhere or in a circle, expected a file; repair or remove it",
                    ErrorCode.UNREADABLE,
                )
            )
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix.lower() not in endings:
            others.append(path)
        elif path.stem in paths:
            complain(
                file_error(
                    path,
                    f"same stem as {paths[path.stem].name}, expected one file; rename or remove one",
                    ErrorCode.CONFLICT,
                )
            )
        else:
            paths[path.stem] = path
    lossy = [path for path in others if path.suffix.lower() in IMAGE_ENDINGS]
    for path in lossy:
        complain(
            file_error(
                path,
                "a mask as JPEG, whose values are blurred, expected PNG, TIFF or BMP; save it so",
                ErrorCode.UNSUPPORTED,
            )
        )
    if len(others) > len(lossy):
        first = next(path for path in others if path not in lossy)
        count = len(others) - len(lossy)
        notes.append(f"{folder}: {count} files such as {first.name} are not read ({' '.join(endings)} are)")
    return paths


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
