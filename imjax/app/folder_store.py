"""Your own folder as the page sees it: its images, its classes, and masks that are read and written.

Images are named by their stem and looked up among those that a scan has found: no path is ever made of what a
browser sends.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from imjax.app import paint_labels
from imjax.data.folder import labelme, mask_writer
from imjax.data.folder.files import MASKS, Files
from imjax.data.folder.mask_file import read_mask
from imjax.data.folder.mask_meaning import MaskMeaning, decide_meaning, decode_mask
from imjax.data.folder.mask_names import pair_names
from imjax.data.folder.mask_writer import MaskFormat
from imjax.data.folder.reader import Folder
from imjax.data.folder.tables import CLASSES, SPLIT_TABLE, ClassTable, read_classes, read_splits
from imjax.data.palette import to_rgb
from imjax.data.readers.base import Sample
from imjax.data.spec import VOID
from imjax.errors import ErrorCode, UserError, file_error, unreadable_error

NO_MASK = "none"
"""Version of a mask that is not there."""
MOST_LABELS = 8
"""Labels that overlap: each is a bit of a pixel's byte."""
CHECKED_MASKS = 40
"""Up to so many masks, each new one is checked not to change what all of them together mean. Of more, one
decides nothing."""


class VersionConflict(Exception):
    """Somebody else has written the mask since it was read."""


@dataclasses.dataclass(frozen=True)
class PaintClass:
    """A class as the page paints it."""

    name: str
    color: tuple[int, int, int]
    value: int
    """In the pixels that the page holds: the label, or of labels that overlap its bit."""


@dataclasses.dataclass(frozen=True)
class PaintMask:
    """A mask as the page holds it."""

    pixels: np.ndarray
    """uint8 `[h, w]`: labels as `decode_mask` gives them, or of labels that overlap the sum of their bits."""
    version: str
    """Of the files that it was read from."""


class FolderStore:
    """Images and masks of a folder.

    Args:
        raw: the folder, with `images/`.

    Raises:
        UserError: there is no image, or what is there cannot be read in one way.
    """

    def __init__(self, raw: Path):
        self.raw = raw
        self._lock = threading.Lock()
        self.scan()

    def scan(self) -> None:
        """Look at the folder anew; raises as the class does."""
        reader = Folder()
        problems: list[UserError] = []
        reader.survey(self.raw, problems.append)
        files = reader.files
        # A folder without masks is where painting starts, and one without val or test may get them here.
        bad = [problem for problem in problems if not self._may_be_missing(problem, files)]
        bad += [_unspeakable(path) for path in files.images.values() if not _is_text(path.stem)]
        table = read_classes(self.raw / CLASSES, bad.append)
        reader.read_images(bad.append)
        meaning = None if bad else _find_meaning(self.raw, files, table, bad)
        if bad or meaning is None:
            more = f" ({len(bad)} problems; all of them: imjax check {self.raw})" if len(bad) > 1 else ""
            raise UserError(f"{bad[0]}{more}", code=bad[0].code, field=bad[0].field)
        if meaning.kind == "multilabel" and len(meaning.names) > MOST_LABELS:
            raise file_error(
                self.raw / MASKS,
                f"{len(meaning.names)} labels that may overlap, but the page paints {MOST_LABELS} at most; "
                "paint with another program, and use imjax check and imjax train",
                ErrorCode.UNSUPPORTED,
            )
        self._reader, self._files, self._table, self.meaning = reader, files, table, meaning
        self._masks = dict(files.masks)
        self.splits = read_splits(self.raw / SPLIT_TABLE, files.images, lambda _: None) or {}

    def _may_be_missing(self, problem: UserError, files: Files) -> bool:
        masks, splits = str(self.raw / MASKS), str(self.raw / SPLIT_TABLE)
        no_mask = problem.field == masks and problem.code == ErrorCode.MISSING and not files.masks
        return problem.field == splits or (no_mask and bool(files.images))

    @property
    def names(self) -> tuple[str, ...]:
        """Stems of the images, sorted."""
        return tuple(self._files.images)

    @property
    def classes(self) -> tuple[PaintClass, ...]:
        """What can be painted, the ground of several classes among it."""
        values = {
            "binary": [1],
            "multiclass": range(1, len(self.meaning.names) + 1),
            "multilabel": [1 << i for i in range(len(self.meaning.names))],
        }[self.meaning.kind]
        parts = zip(self.meaning.names, self.meaning.palette, values, strict=True)
        return tuple(PaintClass(*part) for part in parts)

    @property
    def ground(self) -> int:
        """What the eraser leaves."""
        return paint_labels.ground_label(self.meaning)

    @property
    def has_void(self) -> bool:
        """Whether masks can leave pixels out."""
        return self.meaning.kind != "multilabel" and VOID in paint_labels.allowed_labels(self.meaning)

    @property
    def read_only(self) -> str:
        """Why masks cannot be written; empty where they can."""
        if self.meaning.shapes is not None:
            return "masks are labelme's outlines, which are edited in labelme"
        return ""

    def image_path(self, name: str) -> Path:
        """The file of an image; UserError if the folder has no such image."""
        try:
            return self._files.images[name]
        except KeyError as error:
            raise UserError(
                f"image {name!r}: the folder has none of this name; scan it again",
                code=ErrorCode.UNKNOWN,
                field="name",
            ) from error

    def image_size(self, name: str) -> tuple[int, int]:
        """Height and width of an image as it is shown."""
        return self._reader.evidence[self.image_path(name)].turned_size

    def load_image(self, name: str) -> np.ndarray:
        """An image for the eye, as training sees it: uint8 RGB `[h, w, 3]`; of a stack the middle slice.

        Raises:
            UserError: no such image, or it cannot be read.
        """
        path = self.image_path(name)
        pixels, _ = self._reader.load_image(Sample(name, name, path))
        if pixels.ndim == 4:
            pixels = pixels[len(pixels) // 2]
        return to_rgb(pixels, self._reader.reading.used_names)

    def has_mask(self, name: str) -> bool:
        """Whether an image has a mask."""
        return name in self._masks

    def mask_version(self, name: str) -> str:
        """Changes with the mask files of an image, whoever writes them; `NO_MASK` where there are none."""
        digest, paths = hashlib.sha256(), self._mask_paths(name)
        try:
            for path in paths:
                digest.update(path.read_bytes())
        except FileNotFoundError:
            return NO_MASK
        except OSError as error:
            raise unreadable_error(path, error) from error
        return digest.hexdigest()[:32]

    def mask_stamp(self, name: str) -> int:
        """When the mask files of an image were written last, at no cost; 0 where there are none."""
        try:
            return max(path.stat().st_mtime_ns for path in self._mask_paths(name))
        except OSError:
            return 0

    def load_mask(self, name: str) -> PaintMask:
        """The mask of an image, or one of the ground alone.

        Raises:
            UserError: no such image, or the mask cannot be read or is of another size.
        """
        version, size = self.mask_version(name), self.image_size(name)
        if version == NO_MASK:
            return PaintMask(np.full(size, self.ground, np.uint8), version)
        planes = [self._load_plane(path, size) for path in self._mask_paths(name)]
        if self.meaning.kind != "multilabel":
            return PaintMask(planes[0], version)
        return PaintMask(pack_planes(np.stack(planes, -1)), version)

    def _load_plane(self, path: Path, size: tuple[int, int]) -> np.ndarray:
        if self.meaning.shapes is not None:
            ground = int(self.meaning.kind == "multiclass")
            return np.array(labelme.paint(path, size, self.meaning.shapes, ground))
        mask = read_mask(path)
        if mask.pixels.shape[:2] != size:
            height, width = mask.pixels.shape[:2]
            raise file_error(
                path,
                f"mask of {width}x{height} (w x h) for an image of {size[1]}x{size[0]}; correct or remove it",
                ErrorCode.CONFLICT,
            )
        return decode_mask(mask, path, self.meaning)

    def save_mask(self, name: str, pixels: np.ndarray, version: str) -> str:
        """Write the mask of an image, whole or not at all, as the folder's other masks are.

        Args:
            name: of the image.
            pixels: uint8 `[h, w]` as of `PaintMask`, of the image's size.
            version: of the mask that was painted on.

        Returns:
            The new version.

        Raises:
            VersionConflict: the mask is not of that version any more.
            UserError: no such image; pixels that are none of a mask; a file that cannot be written, or that
                would not be read as what was painted.
        """
        if self.read_only:
            raise UserError(self.read_only, code=ErrorCode.UNSUPPORTED, field=str(self.raw / MASKS))
        planes = self._check_pixels(name, pixels)
        with self._lock:
            if self.mask_version(name) != version:
                raise VersionConflict(name)
            paths = self._mask_paths(name)
            temporary = [path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}") for path in paths]
            try:
                for plane, path, new in zip(planes, paths, temporary, strict=True):
                    path.parent.mkdir(exist_ok=True)
                    mask_writer.write_picture(new, plane, self._choose_format(name, path))
                self._check_written(name, planes, paths, temporary)
                for path, new in zip(paths, temporary, strict=True):
                    os.replace(new, path)
            except OSError as error:
                raise file_error(
                    paths[0],
                    f"cannot be written ({error.strerror}); make room or change the permissions",
                    ErrorCode.UNWRITABLE,
                ) from error
            finally:
                for new in temporary:
                    new.unlink(missing_ok=True)
            self._masks[name] = paths
            return self.mask_version(name)

    def _check_pixels(self, name: str, pixels: np.ndarray) -> list[np.ndarray]:
        """A label plane per mask file; UserError if the pixels are no mask of the image."""
        height, width = self.image_size(name)
        if pixels.shape != (height, width):
            raise UserError(
                f"mask of shape {pixels.shape}, expected {(height, width)} as {name!r} has; load it again",
                code=ErrorCode.WRONG_TYPE,
                field="mask",
            )
        if self.meaning.kind == "multilabel":
            allowed = frozenset(range(1 << len(self.meaning.names)))
        else:
            allowed = paint_labels.allowed_labels(self.meaning)
        wrong = sorted({*np.flatnonzero(np.bincount(pixels.ravel(), minlength=256)).tolist()} - allowed)
        if wrong:
            raise UserError(
                f"value {wrong[0]} in the mask, expected one of {', '.join(map(str, sorted(allowed)))}",
                code=ErrorCode.OUT_OF_RANGE,
                field="mask",
            )
        if self.meaning.kind != "multilabel":
            return [pixels]
        return [*np.moveaxis(unpack_planes(pixels, len(self.meaning.names)), -1, 0)]

    def _mask_paths(self, name: str) -> tuple[Path, ...]:
        """Mask files of an image: those that are there, or where they would be."""
        self.image_path(name)
        if name in self._masks:
            return self._masks[name]
        folders = [self.raw / MASKS / label for label in self._files.labels] or [self.raw / MASKS]
        return tuple(folder / f"{self._mask_stem(name)}.png" for folder in folders)

    def _mask_stem(self, name: str) -> str:
        """The stem of a new mask, as the others are named: `a_mask` beside `b_mask`, where that pairs."""
        stems = {image: paths[0].stem for image, paths in self._masks.items()}
        for image, mask in stems.items():
            if mask != image and image in mask:
                stem = mask.replace(image, name, 1)
                pairs = pair_names(self._files.images, [*stems.values(), stem])
                if pairs.get(stem) == name and all(pairs.get(m) == i for i, m in stems.items()):
                    return stem
            break
        return name

    def _choose_format(self, name: str, path: Path) -> MaskFormat:
        """As the mask at the path is stored, or the first one of the folder."""
        others = ((stem, paths[0]) for stem, paths in self._masks.items())
        for stem, other in [(name, path), *others]:
            if other.suffix.lower() != labelme.ENDING and other.is_file():
                return mask_writer.learn_format({stem: other}, self.meaning)
        return mask_writer.plain_format(self.meaning)

    def _check_written(
        self, name: str, planes: Sequence[np.ndarray], paths: Sequence[Path], written: Sequence[Path]
    ) -> None:
        """UserError unless training reads the files as what was painted, alone and beside all others."""
        for plane, path in zip(planes, written, strict=True):
            if not np.array_equal(decode_mask(read_mask(path), path, self.meaning), plane):
                raise file_error(
                    path, "the mask would be read as another one; report this", ErrorCode.UNSUPPORTED
                )
        masks = self._masks | {name: tuple(written)}
        if len(masks) > CHECKED_MASKS:
            return
        problems: list[UserError] = []
        files = dataclasses.replace(self._files, masks=masks)
        meaning = decide_meaning(self.raw, files, self._table, "auto", problems.append)
        if meaning is None and _says_nothing(files, self.meaning):
            return
        if meaning is None or not self._is_same(meaning, planes, written):
            why = f" ({problems[0]})" if problems else ""
            raise file_error(
                paths[0],
                "beside the other masks it would be read as another one; say what the values of masks mean "
                f"in {CLASSES} by a column id{why}",
                ErrorCode.CONFLICT,
            )

    def _is_same(self, meaning: MaskMeaning, planes: Sequence[np.ndarray], written: Sequence[Path]) -> bool:
        """Whether another decision on the masks reads files as what was painted."""
        ours, theirs = (
            (each.kind, each.names, each.values, each.view, each.cut) for each in (self.meaning, meaning)
        )
        if ours[:2] != theirs[:2]:
            return False
        return ours == theirs or all(
            np.array_equal(decode_mask(read_mask(path), path, meaning), plane)
            for plane, path in zip(planes, written, strict=True)
        )


def pack_planes(planes: np.ndarray) -> np.ndarray:
    """Labels that overlap, uint8 `[h, w, k]` 0/1, as bits of one byte `[h, w]`."""
    return np.packbits(planes == 1, axis=-1, bitorder="little")[..., 0]


def unpack_planes(pixels: np.ndarray, count: int) -> np.ndarray:
    """The inverse of `pack_planes`: `[h, w, count]`."""
    return np.unpackbits(pixels[..., None], axis=-1, count=count, bitorder="little")


def _find_meaning(
    raw: Path, files: Files, table: ClassTable | None, problems: list[UserError]
) -> MaskMeaning | None:
    """What masks mean; of a folder without any, or with empty ones alone, what they shall mean."""
    found: list[UserError] = []
    meaning = decide_meaning(raw, files, table, "auto", found.append) if files.masks else None
    if meaning is not None and not found:
        return meaning
    proposal = None
    if not files.labels:
        try:
            proposal = paint_labels.propose_meaning(raw, table)
        except UserError as error:
            found.append(error)
    if proposal is not None and (not files.masks or _says_nothing(files, proposal)):
        return proposal
    problems += found
    return meaning


def _is_text(name: str) -> bool:
    """Whether a file's name can be sent to a browser and back."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unspeakable(path: Path) -> UserError:
    shown = str(path).encode(errors="backslashreplace").decode()
    return file_error(
        shown, "a name that is not UTF-8, which no browser can send; rename it", ErrorCode.MALFORMED
    )


def _says_nothing(files: Files, meaning: MaskMeaning) -> bool:
    """Whether all masks are of the ground alone, from which nobody could tell what others will mean."""
    ground = paint_labels.ground_label(meaning)
    try:
        return all(
            (decode_mask(read_mask(path), path, meaning) == ground).all()
            for paths in files.masks.values()
            for path in paths
        )
    except UserError:
        return False
