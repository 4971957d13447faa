"""Masks as pictures with a table of colors: PASCAL VOC's palette PNG, and CVAT's `Segmentation mask 1.1`.

Both have `SegmentationClass/<stem>.png` with a color per class, `SegmentationObject/<stem>.png` with a color
per object, `ImageSets/Segmentation/*.txt` with the stems, and `labelmap.txt`. Layouts by
http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ and https://docs.cvat.ai (format-smask).
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from imjax.data.folder.mask_file import StoredMask, pack_color, pack_colors, read_mask
from imjax.data.folder.mask_meaning import GROUND
from imjax.data.folder.tables import VOID_NAME, Color
from imjax.data.formats.annotations import (
    AnnotatedImage,
    AnnotationSet,
    ImageIndex,
    Region,
    check_size,
    class_names,
    copy_images,
    make_region,
    normalize_name,
    write_bytes,
)
from imjax.data.spec import VOID
from imjax.errors import ErrorCode, file_error, unreadable_error

CLASS_FOLDER, OBJECT_FOLDER = "SegmentationClass", "SegmentationObject"
LIST_FOLDER = "ImageSets/Segmentation"
TABLE, NAMES = "labelmap.txt", "class_names.txt"
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
MOST_OBJECTS = 254
"""Objects that a palette of 8 bits numbers, beside the ground and void."""


def spread_bits(numbers: np.ndarray) -> np.ndarray:
    """VOC's colors, uint8 `[..., 3]`, of numbers below 2^24, no two of one color.

    Three bits of the number after the other are a bit of red, green and blue; the lowest come to the highest
    place.
    """
    colors = np.zeros((*numbers.shape, 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            bit = numbers >> (3 * place + channel) & 1
            colors[..., channel] |= (bit << (7 - place)).astype(np.uint8)
    return colors


COLORS = spread_bits(np.arange(256))
"""Of the indices of VOC's palette; 255, which is void, is nearly white."""


def is_folder(folder: Path) -> bool:
    """Whether a folder is of these formats."""
    return (folder / CLASS_FOLDER).is_dir()


def read(files: list[Path], images: ImageIndex) -> AnnotationSet:
    """Read a folder of either format; see `conversion`."""
    (folder,) = files
    names, colors, by_index = _read_table(folder)
    annotated = []
    for path in sorted((folder / CLASS_FOLDER).glob("*.png")):
        image = images.open_image(images.find(path.stem, path), path)
        labels = _decode_classes(path, read_mask(path), names, colors, by_index)
        check_size(image, *labels.shape)
        objects = _read_objects(folder / OBJECT_FOLDER / path.name, labels.shape)
        annotated.append(image.annotate(_list_regions(labels, objects, names)))
    if not annotated:
        raise file_error(folder / CLASS_FOLDER, "no PNG in it, expected masks", ErrorCode.MISSING)
    shown = {name: color for name, color in colors.items() if name not in (GROUND, VOID_NAME)}
    return AnnotationSet(class_names(names, folder), (*annotated, *images.rest(annotated)), shown)


def _read_table(folder: Path) -> tuple[list[str], dict[str, Color], bool]:
    """Names in the order of their indices, their colors, and whether indices count and not colors."""
    try:
        if (folder / TABLE).is_file():
            return _parse_labelmap(folder / TABLE)
        if (folder / NAMES).is_file():
            # labelme's converter: a line per class, of which the first is -1 and the second 0.
            lines = (folder / NAMES).read_text(encoding="utf-8-sig").split("\n")
            names = [normalize_name(line, folder / NAMES, "a line") for line in lines if line.strip()]
            return names[1:] if names[:1] == [VOID_NAME] else names, {}, True
    except OSError as error:
        raise unreadable_error(folder, error) from error
    return [GROUND, *VOC_CLASSES], {}, True


def _parse_labelmap(path: Path) -> tuple[list[str], dict[str, Color], bool]:
    names, colors = [], {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        values = re.fullmatch(r"(\d+),(\d+),(\d+)", rest.split(":")[0].replace(" ", ""))
        if values is None or max(map(int, values.groups())) > 255:
            raise file_error(
                path,
                f"line {number}: {line!r}, expected name:red,green,blue:parts:actions; correct it",
                ErrorCode.MALFORMED,
            )
        names.append(normalize_name(name, path, f"line {number}"))
        colors[names[-1]] = (int(values[1]), int(values[2]), int(values[3]))
    if len(set(names)) < len(names) or len(set(colors.values())) < len(colors):
        raise file_error(
            path, "a name or a color twice, expected one of each per class; correct it", ErrorCode.CONFLICT
        )
    return names, colors, False


def _decode_classes(
    path: Path, mask: StoredMask, names: Sequence[str], colors: Mapping[str, Color], by_index: bool
) -> np.ndarray:
    """Indices into `names` int `[h, w]`, VOID for pixels to leave out."""
    if by_index or mask.storage == "gray":
        if mask.storage == "color":
            raise file_error(
                path,
                f"colors, and no {TABLE} that says which class they are; export it, too",
                ErrorCode.MISSING,
            )
        known, pixels = {i: i for i in range(len(names))}, mask.pixels
        show: Callable[[int], str] = "value {}".format
    else:
        known = {pack_color(color): names.index(name) for name, color in colors.items()}
        known.setdefault(0, names.index(GROUND) if GROUND in names else len(names))
        # The border of VOC's objects, whatever the table says.
        known.setdefault(int(pack_colors(COLORS[VOID:])[0]), VOID)
        pixels, show = mask.colors(), "color #{:06x}".format
    values, where = np.unique(pixels, return_inverse=True)
    known = {VOID: VOID} | known if by_index or mask.storage == "gray" else known
    others = [value for value in values.tolist() if value not in known]
    if others:
        table = TABLE if (colors or not by_index) else NAMES
        raise file_error(
            path, f"{show(others[0])} is no class of {table}; add it there", ErrorCode.OUT_OF_RANGE
        )
    return np.array([known[value] for value in values.tolist()])[where].reshape(pixels.shape)


def _read_objects(path: Path, size: tuple[int, ...]) -> np.ndarray:
    """A number for each object int `[h, w]`; one for all where there is no such file."""
    if not path.is_file():
        return np.zeros(size, np.int64)
    mask = read_mask(path)
    pixels = mask.pixels if mask.storage == "gray" else mask.colors()
    if pixels.shape != size:
        raise file_error(path, f"{pixels.shape} pixels, but the classes have {size}", ErrorCode.CONFLICT)
    return pixels


def _list_regions(labels: np.ndarray, objects: np.ndarray, names: Sequence[str]) -> list[Region | None]:
    """A region for each class of each object."""
    ids, where = np.unique(objects, return_inverse=True)
    pairs = labels.astype(np.int64) * len(ids) + where.reshape(labels.shape)
    found, numbers = np.unique(pairs, return_inverse=True)
    # From 1 on, as boxes are found; one by one over the whole image would take long for many objects.
    numbers = numbers.reshape(labels.shape) + 1
    regions = []
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        index = int(found[number - 1]) // len(ids)
        name = VOID_NAME if index == VOID else names[index] if index < len(names) else GROUND
        if name != GROUND:
            regions.append(make_region(name, numbers[box] == number, box[0].start, box[1].start))
    return regions


def write(annotations: AnnotationSet, target: Path) -> None:
    """Write VOC's folders: palette PNG and the images; see `conversion`."""
    looked_at = _write_masks(annotations, target, write_indices, _write_few_objects, COLORS)
    copy_images(looked_at, target / "JPEGImages")


def write_cvat(annotations: AnnotationSet, target: Path) -> None:
    """Write CVAT's `Segmentation mask 1.1`: PNG of colors, no images; see `conversion`."""
    colors = COLORS.copy()
    for number, name in enumerate(annotations.names, 1):
        colors[number] = annotations.color(name)
    if len(np.unique(colors[: len(annotations.names) + 1], axis=0)) <= len(annotations.names):
        # Two classes of one color, or a black one, would be one class in CVAT.
        colors = COLORS
    _write_masks(annotations, target, _write_colors, _write_many_objects, colors)


def _write_masks(
    annotations: AnnotationSet,
    target: Path,
    write_png: Callable[[Path, np.ndarray, np.ndarray], None],
    write_objects: Callable[[Path, np.ndarray], None],
    colors: np.ndarray,
) -> list[AnnotatedImage]:
    looked_at = annotations.drawn
    values = {GROUND: 0, VOID_NAME: VOID} | {name: i for i, name in enumerate(annotations.names, 1)}
    stems = [image.path.stem for image in looked_at]
    if twice := [image.path for image in looked_at if stems.count(image.path.stem) > 1]:
        raise file_error(twice[0], "same stem as another image, expected different ones", ErrorCode.CONFLICT)
    for image in looked_at:
        labels, objects = paint_regions(image, values, annotations.paints)
        write_png(target / CLASS_FOLDER / f"{image.path.stem}.png", labels, colors)
        write_objects(target / OBJECT_FOLDER / f"{image.path.stem}.png", objects)
    rows = [(GROUND, 0), *((name, values[name]) for name in annotations.all_names)]
    lines = [f"{name}:{','.join(map(str, colors[value].tolist()))}::" for name, value in rows]
    write_bytes(target / TABLE, "\n".join(["# label:color_rgb:parts:actions", *lines, ""]).encode())
    write_bytes(target / LIST_FOLDER / "default.txt", "\n".join([*stems, ""]).encode())
    return looked_at


def paint_regions(
    image: AnnotatedImage, values: Mapping[str, int], paints: bool
) -> tuple[np.ndarray, np.ndarray]:
    """One value and one object for each pixel.

    Args:
        image: with regions.
        values: name of a class → value of its pixels.
        paints: whether a region covers those before it; otherwise no pixel may be of two classes.

    Returns:
        uint8 `[h, w]` of values, and int32 `[h, w]` of the numbers of the regions, from 1; 0 and void have
        none.

    Raises:
        UserError: a pixel of two classes.
    """
    labels, objects = np.zeros(image.size, np.uint8), np.zeros(image.size, np.int32)
    for number, region in enumerate(image.regions or (), 1):
        value, label = values[region.name], labels[region.box]
        covered = label[region.mask]
        clash = covered[(covered != 0) & (covered != value)]
        if len(clash) and not paints:
            other = next(name for name, each in values.items() if each == clash[0])
            raise file_error(
                image.source,
                f"{region.name!r} and {other!r} lie over one another on {image.path.name} ({len(clash)} "
                "pixels); say that the later one covers the other (--label_kind=multiclass) or, in a folder "
                "of imjax, that a pixel may be of both (--label_kind=multilabel)",
                ErrorCode.CONFLICT,
            )
        label[region.mask] = value
        objects[region.box][region.mask] = 0 if value in (0, VOID) else number
    return labels, objects


def _write_few_objects(path: Path, objects: np.ndarray) -> None:
    # Of more objects than 8 bits hold the numbers begin anew.
    numbers = np.where(objects > 0, (objects - 1) % MOST_OBJECTS + 1, 0)
    write_indices(path, numbers.astype(np.uint8), COLORS)


def _write_many_objects(path: Path, objects: np.ndarray) -> None:
    _save(path, Image.fromarray(spread_bits(objects)))


def write_indices(path: Path, indices: np.ndarray, colors: np.ndarray) -> None:
    """Write uint8 `[h, w]` as PNG with a palette, uint8 `[256, 3]`; UserError if that is not possible."""
    image = Image.fromarray(indices)
    image.putpalette(colors.tobytes())
    _save(path, image)


def _write_colors(path: Path, indices: np.ndarray, colors: np.ndarray) -> None:
    _save(path, Image.fromarray(colors[indices]))


def _save(path: Path, image: Image.Image) -> None:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())
