"""COCO's JSON of instances: one file for many images, with polygons or run-length codes.

Layout by https://cocodataset.org/#format-data; codes and polygons by pycocotools, which defines them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

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
    read_json,
    write_json,
)
from imjax.data.formats.polygons import trace_polygons
from imjax.errors import ErrorCode, UserError, file_error

FILE = "annotations.json"
KEYS = {"images", "annotations", "categories"}


def is_content(content: Any) -> bool:
    """Whether a JSON file is of this format."""
    return isinstance(content, dict) and content.keys() >= KEYS


def read(files: list[Path], images: ImageIndex) -> AnnotationSet:
    """Read one or several files; see `conversion`."""
    annotated: list[AnnotatedImage] = []
    names: list[str] = []
    for path in files:
        content = read_json(path)
        categories = _read_categories(path, content)
        names += categories.values()
        annotated += _read_images(path, content, categories, images)
    return AnnotationSet(class_names(names, files[0]), (*annotated, *images.rest(annotated)))


def _read_categories(path: Path, content: Any) -> dict[Any, str]:
    try:
        found = sorted(content["categories"], key=lambda category: category["id"])
        return {each["id"]: normalize_name(each["name"], path, "a category") for each in found}
    except (TypeError, KeyError) as error:
        raise _malformed(path, "categories", "an id and a name each") from error


def _read_images(
    path: Path, content: Any, categories: Mapping[Any, str], images: ImageIndex
) -> list[AnnotatedImage]:
    by_id: dict[Any, tuple[Path, Any]] = {}
    try:
        for each in content["images"]:
            by_id[each["id"]] = images.find(each["file_name"], path), each
        shapes: dict[Any, list[Any]] = {id_: [] for id_ in by_id}
        for each in content["annotations"]:
            if each["image_id"] not in by_id or each["category_id"] not in categories:
                raise file_error(
                    path,
                    f"annotation {each.get('id')} names image {each['image_id']} and category "
                    f"{each['category_id']}, which are not both there; export again",
                    ErrorCode.UNKNOWN,
                )
            shapes[each["image_id"]].append(each)
    except (TypeError, KeyError, AttributeError) as error:
        raise _malformed(path, "images or annotations", "id, file_name, image_id and category_id") from error
    annotated = []
    for id_, (file, entry) in by_id.items():
        image = images.open_image(file, path)
        check_size(image, entry.get("height"), entry.get("width"))
        regions = [_read_region(path, each, categories, image) for each in shapes[id_]]
        annotated.append(image.annotate(regions))
    return annotated


def _read_region(
    path: Path, annotation: Any, categories: Mapping[Any, str], image: AnnotatedImage
) -> Region | None:
    shape, what = annotation.get("segmentation"), f"annotation {annotation.get('id')}"
    if not shape:
        raise file_error(
            path, f"{what} has no segmentation, only a box; draw its outline", ErrorCode.UNSUPPORTED
        )
    height, width = image.size
    if isinstance(shape, dict):
        codes: list[Any] = [_check_code(path, what, shape, image)]
    else:
        codes = _read_polygons(path, what, shape)
    coder = load_coder()
    try:
        code = coder.merge(coder.frPyObjects(codes, height, width))
    except (ValueError, TypeError) as error:
        raise _malformed(path, f"{what}: segmentation", str(error)) from error
    mask, left = _decode_columns(_unpack_counts(code["counts"].decode()), height)
    return make_region(categories[annotation["category_id"]], mask, 0, left)


def _decode_columns(counts: list[int], height: int) -> tuple[np.ndarray, int]:
    """The columns of an image between the first and the last pixel of a mask, bool `[h, columns]`.

    Not the whole image, as the library decodes it, since there may be thousands of masks on it. Runs go down
    the columns, the first is of nothing.

    Returns:
        The mask, and the number of its first column.
    """
    ends = np.cumsum(counts)
    starts, ends = ends[0::2][: len(counts) // 2], ends[1::2]
    filled = ends > starts
    if not filled.any():
        return np.zeros((height, 0), bool), 0
    starts, ends = starts[filled], ends[filled]
    left, right = int(starts[0]) // height, -(-int(ends[-1]) // height)
    steps = np.zeros((right - left) * height + 1, np.int8)
    np.add.at(steps, starts - left * height, 1)
    np.add.at(steps, ends - left * height, -1)
    return np.cumsum(steps[:-1], dtype=np.int8).reshape(-1, height).T > 0, left


def _check_code(path: Path, what: str, shape: dict[str, Any], image: AnnotatedImage) -> dict[str, Any]:
    """A run-length code that the library decodes without harm: it trusts its input."""
    size, counts = shape.get("size"), shape.get("counts")
    if size != list(image.size):
        raise file_error(
            path,
            f"{what}: size {size}, expected {list(image.size)} as of {image.path.name}",
            ErrorCode.CONFLICT,
        )
    if isinstance(counts, str) and re.fullmatch(r"[0-o]*[0-O]", counts):
        counts = _unpack_counts(counts)
    if isinstance(counts, list) and all(type(count) is int and count >= 0 for count in counts):
        if sum(counts) == size[0] * size[1]:
            return {"size": size, "counts": counts}
    raise _malformed(path, f"{what}: counts", "run lengths that fill the image, or their compressed text")


def _unpack_counts(text: str) -> list[int]:
    """Run lengths of the compressed text: digits of 5 bits, low ones first, bit 5 where more follow; from the
    fourth on differences to the length two before. Not by the library, which reads on past a wrong text."""
    counts: list[int] = []
    value = bits = 0
    for letter in text:
        digit = ord(letter) - 48
        value |= (digit & 31) << bits
        bits += 5
        if not digit & 32:
            # Of the last digit the highest bit is the sign.
            value -= (digit >> 4 & 1) << bits
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = bits = 0
    return counts


def _read_polygons(path: Path, what: str, shape: Any) -> list[list[float]]:
    try:
        for polygon in shape:
            if len(polygon) < 6 or len(polygon) % 2 or not np.isfinite(polygon).all():
                raise ValueError
            # Beyond that the library's whole numbers overflow.
            if np.abs(polygon).max() > 1e6:
                raise ValueError
    except (TypeError, ValueError) as error:
        raise _malformed(
            path, f"{what}: segmentation", "polygons x1, y1, x2, y2, … of 3 points or more"
        ) from error
    return [[float(value) for value in polygon] for polygon in shape]


def write(annotations: AnnotationSet, target: Path) -> None:
    """Write `annotations.json` and `images`; see `conversion`.

    A region without holes is a list of polygons along the edges of its pixels, one with holes a compressed
    run-length code, since polygons of COCO have no holes.
    """
    looked_at, names = annotations.drawn, annotations.all_names
    shapes: list[dict[str, Any]] = []
    for number, image in enumerate(looked_at, 1):
        for region in image.regions or ():
            shapes.append(
                {"id": len(shapes) + 1, "image_id": number, "category_id": names.index(region.name) + 1}
                | _describe(region, image.size)
            )
    write_json(
        target / FILE,
        {
            "info": {"description": "written by imjax convert"},
            "licenses": [],
            "images": [
                {"id": number, "file_name": image.path.name, "height": image.size[0], "width": image.size[1]}
                for number, image in enumerate(looked_at, 1)
            ],
            "annotations": shapes,
            "categories": [
                {"id": number, "name": name, "supercategory": ""} for number, name in enumerate(names, 1)
            ],
        },
    )
    copy_images(looked_at, target / "images")


def _describe(region: Region, size: tuple[int, int]) -> dict[str, Any]:
    polygons = trace_polygons(region.mask)
    segmentation: Any
    if all(len(rings) == 1 for rings in polygons):
        corner = (region.left, region.top)
        segmentation = [(rings[0] + corner).ravel().tolist() for rings in polygons]
    else:
        whole = np.zeros(size, np.uint8, order="F")
        whole[region.box] = region.mask
        code = load_coder().encode(whole)
        segmentation = {"size": list(size), "counts": code["counts"].decode()}
    height, width = region.mask.shape
    return {
        "segmentation": segmentation,
        "area": int(region.mask.sum()),
        "bbox": [region.left, region.top, width, height],
        "iscrowd": 0,
    }


def load_coder() -> ModuleType:
    """`pycocotools.mask`; UserError where it is not installed."""
    try:
        from pycocotools import mask
    except ImportError as error:
        raise UserError(
            "COCO annotations need the package pycocotools; install it: pip install 'imjax[coco]'",
            code=ErrorCode.UNAVAILABLE,
            field="pycocotools",
        ) from error
    return mask


def _malformed(path: Path, what: str, expected: str) -> UserError:
    return file_error(path, f"{what}: expected {expected}; export again", ErrorCode.MALFORMED)
