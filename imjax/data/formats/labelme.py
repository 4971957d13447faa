"""labelme's JSON: a file per image beside it, with polygons and, for what has holes, masks.

Layout by https://github.com/wkentaro/labelme; shapes are drawn as its own converters draw them.
"""

from __future__ import annotations

import base64
import dataclasses
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from imjax.data.folder import labelme
from imjax.data.folder.tables import VOID_NAME
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
    write_json,
)


def is_content(content: Any) -> bool:
    """Whether a JSON file is of this format."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def read(files: list[Path], images: ImageIndex) -> AnnotationSet:
    """Read a file per image; see `conversion`.

    The image is the one with the file's stem, wherever it lies below the images' folder: `imagePath` may lead
    anywhere.
    """
    annotated = []
    for path in files:
        outlines = labelme.read_outlines(path)
        image = images.open_image(images.find(path.stem, path), path)
        if outlines.size is not None:
            check_size(image, *outlines.size)
        annotated.append(image.annotate(_list_regions(path, outlines, image.size)))
    names = sorted({region.name for image in annotated for region in image.regions or ()})
    return AnnotationSet(class_names(names, files[0]), (*annotated, *images.rest(annotated)), paints=True)


def _list_regions(path: Path, outlines: labelme.Outlines, size: tuple[int, int]) -> list[Region | None]:
    """A region for each shape, or for the shapes of a group."""
    groups: dict[tuple[str, int], list[labelme.Shape]] = {}
    for number, shape in enumerate(outlines.shapes):
        name = normalize_name(shape.label, path, "a shape")
        # Shapes without a group get numbers of their own, which those of groups are not.
        group = -1 - number if shape.group is None or shape.group < 0 else shape.group
        groups.setdefault((name, group), []).append(shape)
    return [_draw_region(name, shapes, size) for (name, _), shapes in groups.items()]


def _draw_region(name: str, shapes: list[labelme.Shape], size: tuple[int, int]) -> Region | None:
    """The pixels of shapes, drawn on a canvas that is no larger than they are: images may have thousands."""
    corners = np.concatenate([_bound_shape(shape) for shape in shapes])
    first = np.clip(np.floor(corners.min(0)), 0, size[::-1]).astype(int)
    last = np.clip(np.ceil(corners.max(0)) + 1, first, size[::-1]).astype(int)
    left, top = first.tolist()
    if (last == first).any():
        return None
    canvas = Image.new("L", (int(last[0]) - left, int(last[1]) - top), 0)
    for shape in shapes:
        # By whole pixels, and not beyond 0 where Pillow rounds the other way: the pixels stay the same.
        points = tuple((x - left, y - top) for x, y in shape.points)
        labelme.draw_shape(ImageDraw.Draw(canvas), dataclasses.replace(shape, points=points), 1)
    return make_region(name, np.asarray(canvas) == 1, top, left)


def _bound_shape(shape: labelme.Shape) -> np.ndarray:
    """Least and largest x and y, `[2, 2]`."""
    points = np.array(shape.points)
    if shape.mask is not None:
        return np.stack([points[0], points[0] + shape.mask.shape[::-1]])
    if shape.kind == "circle":
        radius = np.hypot(*(points[1] - points[0]))
        return np.stack([points[0] - radius, points[0] + radius])
    return np.stack([points.min(0), points.max(0)])


def write(annotations: AnnotationSet, target: Path) -> None:
    """Write a JSON file beside a copy of each image; see `conversion`."""
    copy_images(annotations.images, target)
    for image in annotations.images:
        if image.regions is None:
            continue
        shapes = [
            shape
            for number, region in enumerate(image.regions, 1)
            for shape in _describe(region, number, image)
        ]
        content = labelme.format_outlines(shapes, image.path.name, image.size)
        write_json(target / f"{image.path.stem}{labelme.ENDING}", content)


def _describe(region: Region, number: int, image: AnnotatedImage) -> list[dict[str, Any]]:
    """Polygons through the middles of a region's outer pixels; a mask where these would not draw the same."""
    label = labelme.IGNORED_LABEL if region.name == VOID_NAME else region.name
    contours = _trace_contours(region.mask)
    if contours:
        group = number if len(contours) > 1 else None
        corner = (region.left, region.top)
        return [
            labelme.format_shape(label, (contour + corner).astype(float).tolist(), group=group)
            for contour in contours
        ]
    height, width = region.mask.shape
    corners = [[region.left, region.top], [region.left + width - 1, region.top + height - 1]]
    buffer = io.BytesIO()
    Image.fromarray(region.mask.astype(np.uint8) * 255).save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    points = [[float(x), float(y)] for x, y in corners]
    return [labelme.format_shape(label, points, "mask") | {"mask": text}]


def _trace_contours(mask: np.ndarray) -> list[np.ndarray]:
    """Contours `[n, 2]`, x and y, that labelme fills to exactly this mask; empty where there are none."""
    found, tree = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    contours = [contour[:, 0] for contour in found]
    # A polygon has three points or more, and no hole.
    if any(len(contour) < 3 for contour in contours) or (tree[0, :, 3] >= 0).any():
        return []
    canvas = Image.new("L", mask.shape[::-1], 0)
    for contour in contours:
        points = tuple((float(x), float(y)) for x, y in contour)
        labelme.draw_shape(ImageDraw.Draw(canvas), labelme.Shape("", "polygon", points), 1)
    return contours if ((np.asarray(canvas) == 1) == mask).all() else []
