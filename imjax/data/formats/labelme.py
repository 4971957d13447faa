"""labelme's JSON: a file per image beside it, with polygons and, for what has holes, masks.

Layout by https://github.com/wkentaro/labelme; shapes are drawn as its own converters draw them.
"""

from __future__ import annotations

import base64
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

VERSION = "5.5.0"
"""Of the layout; masks are read from 5.2 on."""


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
        image = images.annotate(images.find(path.stem, path), (), path)
        if outlines.size is not None:
            check_size(image, *outlines.size)
        annotated.append(images.annotate(image.path, _list_regions(path, outlines, image.size), path))
    names = sorted({region.name for image in annotated for region in image.regions or ()})
    return AnnotationSet(class_names(names, files[0]), (*annotated, *images.rest(annotated)), paints=True)


def _list_regions(path: Path, outlines: labelme.Outlines, size: tuple[int, int]) -> list[Region | None]:
    """A region for each shape, or for the shapes of a group."""
    masks: dict[tuple[str, int], np.ndarray] = {}
    for number, shape in enumerate(outlines.shapes):
        name = normalize_name(shape.label, path, "a shape")
        canvas = Image.new("L", size[::-1], 0)
        labelme.draw_shape(ImageDraw.Draw(canvas), shape, 1)
        drawn = np.asarray(canvas) == 1
        # Groups are numbers of the file's own, and shapes without one get those below 0.
        key = name, -1 - number if shape.group is None else shape.group
        masks[key] = masks[key] | drawn if key in masks else drawn
    return [make_region(name, mask) for (name, _), mask in masks.items()]


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
        height, width = image.size
        write_json(
            target / f"{image.path.stem}{labelme.ENDING}",
            {
                "version": VERSION,
                "flags": {},
                "shapes": shapes,
                "imagePath": image.path.name,
                "imageData": None,
                "imageHeight": height,
                "imageWidth": width,
            },
        )


def _describe(region: Region, number: int, image: AnnotatedImage) -> list[dict[str, Any]]:
    """Polygons through the middles of a region's outer pixels; a mask where these would not draw the same."""
    label = labelme.IGNORED_LABEL if region.name == VOID_NAME else region.name
    contours = _trace_contours(region.mask)
    if contours:
        group = number if len(contours) > 1 else None
        corner = (region.left, region.top)
        return [
            _shape(label, (contour + corner).astype(float).tolist(), group, "polygon") for contour in contours
        ]
    height, width = region.mask.shape
    corners = [[region.left, region.top], [region.left + width - 1, region.top + height - 1]]
    buffer = io.BytesIO()
    Image.fromarray(region.mask.astype(np.uint8) * 255).save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    return [_shape(label, [[float(x), float(y)] for x, y in corners], None, "mask") | {"mask": text}]


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


def _shape(label: str, points: list[list[float]], group: int | None, kind: str) -> dict[str, Any]:
    return {
        "label": label,
        "points": points,
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
    }
