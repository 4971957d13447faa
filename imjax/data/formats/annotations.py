"""What all formats of label tools have in common: images, and on each the regions that somebody has drawn."""

from __future__ import annotations

import dataclasses
import difflib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from imjax.data.folder.mask_meaning import GROUND
from imjax.data.folder.tables import MOST, TAKEN, VOID_NAME, Color
from imjax.data.image_file import inspect_image
from imjax.data.image_io import ENDINGS
from imjax.data.palette import object_colors
from imjax.data.spec import BACKGROUND_NAMES
from imjax.errors import ErrorCode, UserError, file_error
from imjax.json_io import read_foreign_json

MASK_FOLDERS = (
    "masks", "instances", "SegmentationClass", "SegmentationObject", "SegmentationClassVisualization",
    "colour", "overlay", "inconsistency",
)  # fmt: skip
"""Folders of the formats, and of predictions, whose pictures are no images."""


@dataclasses.dataclass(frozen=True)
class Region:
    """One object, or one piece of a class."""

    name: str
    """Of its class; `VOID_NAME` for pixels to leave out, `GROUND` for pixels of no class."""
    top: int
    left: int
    mask: np.ndarray
    """bool, its pixels in the box whose upper left corner is `top`, `left`; not empty."""

    @property
    def box(self) -> tuple[slice, slice]:
        """Where the mask lies in the image."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


@dataclasses.dataclass(frozen=True)
class AnnotatedImage:
    """An image and what is drawn on it."""

    path: Path
    """The image's file."""
    size: tuple[int, int]
    """Height and width, upright."""
    regions: tuple[Region, ...] | None
    """In the order of drawing; empty: nothing is on it; None: nobody has looked at it."""
    source: Path
    """The file that says so, for messages."""

    def annotate(self, regions: Iterable[Region | None]) -> AnnotatedImage:
        """The image with its regions; those that are None, of no pixel, are left out."""
        return dataclasses.replace(self, regions=tuple(region for region in regions if region))


@dataclasses.dataclass(frozen=True)
class AnnotationSet:
    """What a folder or file of annotations holds."""

    names: tuple[str, ...]
    """Classes that regions may have, without void and ground, each once."""
    images: tuple[AnnotatedImage, ...]
    colors: Mapping[str, Color] = dataclasses.field(default_factory=dict)
    """RGB of some of the names."""
    paints: bool = False
    """Whether a region covers those before it, as the tool itself converts them; otherwise regions may lie
    over one another."""

    def color(self, name: str) -> Color:
        """The class's own color, or one that it gets by its place."""
        plain = dict(zip(self.names, object_colors(len(self.names)), strict=True))
        return self.colors.get(name, plain.get(name, (0, 0, 0)))

    def hex_color(self, name: str) -> str:
        """`color` as `#rrggbb`."""
        return format_color(self.color(name))

    @property
    def drawn(self) -> list[AnnotatedImage]:
        """Images that somebody has looked at."""
        return [image for image in self.images if image.regions is not None]

    @property
    def all_names(self) -> tuple[str, ...]:
        """`names`, and void where there is some."""
        has_void = any(region.name == VOID_NAME for image in self.drawn for region in image.regions or ())
        return (*self.names, VOID_NAME) if has_void else self.names


def format_color(color: Color) -> str:
    """`#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def normalize_name(name: object, source: Path, what: str) -> str:
    """A class's name as regions have it.

    Raises:
        UserError: it is none.
    """
    text = name.strip() if isinstance(name, str) else ""
    if not text or text in TAKEN:
        raise file_error(
            source,
            f"{what} has the class {name!r}, expected a name of your own; name it",
            ErrorCode.MALFORMED,
        )
    if text.casefold() in (VOID_NAME, "__ignore__"):
        return VOID_NAME
    return GROUND if BACKGROUND_NAMES.fullmatch(text) else text


def class_names(names: Iterable[str], source: Path) -> tuple[str, ...]:
    """Each class once, in the order given, without void and ground.

    Raises:
        UserError: there is none, or more than 8 bits hold.
    """
    classes = tuple(dict.fromkeys(name for name in names if name not in (VOID_NAME, GROUND)))
    if not 1 <= len(classes) <= MOST:
        raise file_error(source, f"{len(classes)} classes, expected 1 to {MOST}", ErrorCode.OUT_OF_RANGE)
    return classes


def make_region(name: str, mask: np.ndarray, top: int = 0, left: int = 0) -> Region | None:
    """The region of the true pixels of `mask`, whose corner is at `top`, `left`; None if there are none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Region(name, top + int(rows[0]), left + int(columns[0]), np.ascontiguousarray(box, bool))


class ImageIndex:
    """The image files that annotations may be about."""

    def __init__(self, folder: Path) -> None:
        """List `folder` and what is below it, without folders of masks and what starts with a dot.

        Raises:
            UserError: no such folder.
        """
        if not folder.is_dir():
            raise UserError(
                f"--images={folder}: no such folder; expected the one with the images",
                code=ErrorCode.MISSING,
                field="--images",
            )
        self.folder = folder
        self.files = [
            path
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in ENDINGS and path.is_file() and not self._is_left_out(path)
        ]
        # Looked up once for each annotated image, of which there may be as many as files.
        self._by_path = self._group(lambda path: path.relative_to(folder).as_posix())
        self._by_name = self._group(lambda path: path.name)
        self._by_stem = self._group(lambda path: path.stem)

    def _group(self, key: Callable[[Path], str]) -> defaultdict[str, list[Path]]:
        groups = defaultdict(list)
        for path in self.files:
            groups[key(path)].append(path)
        return groups

    def _is_left_out(self, path: Path) -> bool:
        parts = path.relative_to(self.folder).parts
        return any(part.startswith(".") for part in parts) or any(part in MASK_FOLDERS for part in parts[:-1])

    def find(self, name: str, source: Path) -> Path:
        """The image that annotations call `name`: by its path below the folder, its name or its stem.

        Args:
            name: as written in the file, of Windows or not.
            source: the file, for messages.

        Raises:
            UserError: no such image, several, or a path that leads out of the folder.
        """
        wanted = check_inside(name, source)
        stems = {wanted.name, wanted.name.removesuffix(".png")}
        same_stem = sorted(path for stem in stems for path in self._by_stem[stem])
        found = self._by_path[wanted.as_posix()] or self._by_name[wanted.name] or same_stem
        if len(found) == 1:
            return found[0]
        if found:
            raise file_error(
                source,
                f"image {name!r} is {len(found)} files below {self.folder}, such as {found[1]}; keep one",
                ErrorCode.CONFLICT,
            )
        close = difflib.get_close_matches(wanted.name, [path.name for path in self.files], n=1)
        near = f" (nearest: {close[0]})" if close else ""
        raise file_error(
            source,
            f"no image {name!r} below {self.folder}{near}; say where the images are by --images=DIR",
            ErrorCode.MISSING,
        )

    def open_image(self, path: Path, source: Path) -> AnnotatedImage:
        """The image, of whose regions nothing is known yet."""
        return AnnotatedImage(path, inspect_image(path).turned_size, None, source)

    def rest(self, images: Iterable[AnnotatedImage]) -> tuple[AnnotatedImage, ...]:
        """Images that no annotation is about."""
        known = {image.path for image in images}
        return tuple(self.open_image(path, path) for path in self.files if path not in known)


def check_inside(name: str, source: Path) -> PurePosixPath:
    """A relative path of a file as parts; UserError where it would lead out of the folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts or "\0" in name:
        raise file_error(
            source,
            f"path {name!r} leads out of the folder, expected one below it; correct the file",
            ErrorCode.MALFORMED,
        )
    return path


def check_size(image: AnnotatedImage, height: object, width: object) -> None:
    """UserError where annotations are about an image of another size; unknown sides are None."""
    if (height, width) not in ((None, None), image.size):
        raise file_error(
            image.source,
            f"{image.path.name} is {width}x{height} (w x h) there, but its file is "
            f"{image.size[1]}x{image.size[0]}; export again with this image",
            ErrorCode.CONFLICT,
        )


def read_json(path: Path) -> Any:
    """The content of a JSON file; UserError where it is none."""
    return read_foreign_json(path, "export it again")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file; UserError if that is not possible."""
    write_bytes(path, (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, with its folder; UserError if that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise file_error(path, f"cannot be written: {error.strerror}", ErrorCode.UNWRITABLE) from error


def copy_images(images: Iterable[AnnotatedImage], folder: Path) -> None:
    """Copy images into one folder.

    Raises:
        UserError: two have one stem, or a file cannot be copied.
    """
    seen: dict[str, Path] = {}
    for image in images:
        before = seen.setdefault(image.path.stem.casefold(), image.path)
        if before != image.path:
            raise file_error(
                image.path, f"same stem as {before}, expected different ones; rename one", ErrorCode.CONFLICT
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image.path, folder / image.path.name)
        except OSError as error:
            raise file_error(
                folder / image.path.name, f"cannot be written: {error.strerror}", ErrorCode.UNWRITABLE
            ) from error
