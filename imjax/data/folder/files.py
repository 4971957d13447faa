"""Which files of a folder of one's own are read: images, and masks that share their stem."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from imjax.data.folder import labelme
from imjax.data.folder.mask_names import (
    LABEL_STUDIO,
    find_masks_among_images,
    pair_names,
    split_side_by_side,
)
from imjax.data.folder.tables import Complain, suggest_closest
from imjax.data.image_io import ENDINGS as IMAGE_ENDINGS
from imjax.errors import ErrorCode, UserError, file_error

IMAGES, MASKS = "images", "masks"

PICTURE_ENDINGS = (".png", ".tif", ".tiff", ".bmp")
"""Of masks: no JPEG, whose compression changes values."""
MASK_ENDINGS = (*PICTURE_ENDINGS, labelme.ENDING)
"""The same, and JSON of labelme."""

ANNOTATION_ENDINGS = (".json", ".geojson")
"""Of what `imjax convert` reads."""


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


def find_files(raw: Path, complain: Complain, images_folder: Path | None = None) -> Files:
    """List `raw/images` and `raw/masks`; a missing folder is an empty one, with a complaint.

    Folders inside `images` are not read. Files whose names start with a dot are passed over. `images_folder`
    stands for `raw/images` where the images lie elsewhere.
    """
    notes: list[str] = []
    where = images_folder or raw / IMAGES
    images = _by_stem(where, IMAGE_ENDINGS, complain, notes)
    for folder in _folders(where):
        if any(path.suffix.lower() in IMAGE_ENDINGS for path in folder.rglob("*")):
            notes.append(f"{folder}: holds images, which are not read; move them to {where}")
    if not images:
        expected = f"expected image files ({' '.join(IMAGE_ENDINGS)}) there, and masks in {raw / MASKS}"
        what = "no image in it" if where.is_dir() else "folder not found"
        remedy = (None if images_folder else _name_other_layout(raw)) or "add them or name another folder"
        complain(file_error(where, f"{what}, {expected}; {remedy}", ErrorCode.MISSING))
    if drawn := find_masks_among_images(images):
        complain(
            file_error(
                images[drawn[0]],
                f"{_count(drawn, 'a mask', 'masks')} among the images by its name, which would be read as an "
                f"image; move masks to {raw / MASKS}, or rename what is an image",
                ErrorCode.CONFLICT,
            )
        )
    masks, labels = find_masks(raw / MASKS, images, complain, notes)
    return pair_files(images, masks, labels, notes, complain)


def _name_other_layout(raw: Path) -> str | None:
    """What to do with a folder in another program's layout; None if nothing is known of it."""
    if not raw.is_dir():
        return None
    stems = [path.stem for path in raw.iterdir() if path.suffix.lower() in IMAGE_ENDINGS]
    annotations = [path for ending in ANNOTATION_ENDINGS for path in raw.glob(f"*{ending}")]
    annotations += [path for ending in ANNOTATION_ENDINGS for path in raw.glob(f"*/*{ending}")]
    if annotations:
        found = f"if {min(annotations).name} holds annotations"
    elif split_side_by_side(stems)[1]:
        found = f"for images and masks side by side, as in {raw}"
    else:
        return f"move the {len(stems)} image files of {raw} there" if stems else None
    return f"{found}: imjax convert {raw} NEW_FOLDER"


def pair_files(
    images: dict[str, Path],
    masks: dict[str, tuple[Path, ...]],
    labels: tuple[str, ...],
    notes: list[str],
    complain: Complain,
) -> Files:
    """Give each mask to its image, by their stems; a mask without an image is a complaint."""
    pairs = pair_names(images, masks)
    if renamed := [stem for stem in sorted(pairs) if pairs[stem] != stem]:
        first = masks[renamed[0]][0]
        notes.append(
            f"{len(renamed)} masks such as {first.name} belong to images such as "
            f"{images[pairs[renamed[0]]].name}, by what their names have in common"
        )
    if lonely := sorted(masks.keys() - pairs.keys()):
        stem, *others = lonely
        near = suggest_closest(stem, images)
        more = f" (and {len(others)} more such files: {', '.join(others[:3])}" if others else ""
        more += ", …)" if len(others) > 3 else ")" if others else ""
        complain(
            file_error(
                masks[stem][0],
                f"mask without image of the stem {stem!r}{near}; rename or remove it{more}",
                ErrorCode.MISSING,
            )
        )
    paired = {image: masks[stem] for stem, image in sorted(pairs.items(), key=lambda pair: pair[1])}
    return Files(images, paired, labels, tuple(notes))


def find_side_by_side(folder: Path, complain: Complain) -> Files | None:
    """Images and masks in one folder, distinguished by words such as `_cp_masks`; None if it has no mask."""
    notes: list[str] = []
    paths = _by_stem(folder, tuple(dict.fromkeys((*IMAGE_ENDINGS, *PICTURE_ENDINGS))), complain, notes)
    images, pairs = split_side_by_side(paths)
    if not pairs:
        return None
    masks: dict[str, tuple[Path, ...]] = {stem: (paths[stem],) for stem in pairs}
    return pair_files({stem: paths[stem] for stem in images}, masks, (), notes, complain)


def find_masks(
    folder: Path, images: dict[str, Path], complain: Complain, notes: list[str]
) -> tuple[dict[str, tuple[Path, ...]], tuple[str, ...]]:
    """Mask files by their stems, and the names of the labels where each has a folder."""
    problems: list[UserError] = []
    labels = [path for path in _folders(folder) if any(path.iterdir())]
    single = _by_stem(folder, MASK_ENDINGS, problems.append, notes)
    if single and labels:
        problems.append(
            file_error(
                labels[0],
                "a folder beside masks, expected a folder for every label or none; move it",
                ErrorCode.CONFLICT,
            )
        )
        labels = []
    if len(labels) > 1 and all(path.name in images for path in labels):
        problems.append(
            file_error(
                folder,
                f"a folder per image, such as {labels[0].name}, expected one mask per image or a folder per "
                "label; join the files of each image into one mask",
                ErrorCode.UNSUPPORTED,
            )
        )
        masks, labels = {}, []
    elif labels:
        masks = _per_label(labels, problems.append, notes)
    else:
        masks = {stem: (path,) for stem, path in single.items()}
    if exported := [stem for stem in masks if LABEL_STUDIO.fullmatch(stem) and stem not in images]:
        problems.append(_label_studio_error(masks[exported[0]][0], len(exported)))
        masks = {stem: paths for stem, paths in masks.items() if stem not in exported}
    if images and not masks and not problems:
        remedy = _name_other_layout(folder.parent) or "draw and add some"
        problems.append(
            file_error(
                folder,
                f"no mask in it ({' '.join(MASK_ENDINGS)}), expected one for some of the images; {remedy}",
                ErrorCode.MISSING,
            )
        )
    for problem in problems:
        complain(problem)
    return masks, tuple(path.name for path in labels)


def _label_studio_error(first: Path, count: int) -> UserError:
    return file_error(
        first,
        f"{count} files of Label Studio's brush export, named after tasks, which do not tell the image; "
        "expected one mask per image with the image's stem; export as JSON, which tells the image of each "
        "task (id, data.image), and convert that: imjax convert project.json NEW_FOLDER --images=IMAGES",
        ErrorCode.UNSUPPORTED,
    )


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
    if lossy:
        complain(
            file_error(
                lossy[0],
                f"{_count(lossy, 'a mask', 'masks')} as JPEG, GIF or WebP, which may blur values at "
                "edges or change them, expected PNG, TIFF or BMP; export from the program that drew it",
                ErrorCode.UNSUPPORTED,
            )
        )
    if len(others) > len(lossy):
        first = next(path for path in others if path not in lossy)
        count = len(others) - len(lossy)
        notes.append(f"{folder}: {count} files such as {first.name} are not read ({' '.join(endings)} are)")
    return paths


def _count(paths: Sequence[object], one: str, several: str) -> str:
    return one if len(paths) == 1 else f"{len(paths)} {several} such as this"


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
