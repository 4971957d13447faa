"""Masks as labelme saves them: a JSON file per image, with the outlines of objects and their labels."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from imjax.data.folder.tables import VOID_NAME, ClassTable, suggest_closest
from imjax.data.spec import VOID
from imjax.errors import ErrorCode, UserError, file_error
from imjax.json_io import read_foreign_json

ENDING = ".json"
VERSION = "5.5.0"
"""Of the layout that is written; masks are read from 5.2 on."""
GROUND_LABEL, IGNORED_LABEL = "_background_", "__ignore__"
"""Labels that labelme's own converters know."""

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Shape:
    """An object."""

    label: str
    """`VOID_NAME` for pixels to leave out, `GROUND_LABEL` for none."""
    kind: str
    """`polygon`, `rectangle`, `circle` or `mask`."""
    points: tuple[Point, ...]
    """x and y in pixels: the corners, two opposite ones, or the center and a point of the circle."""
    group: int | None = None
    """What shapes of one object have in common."""
    mask: np.ndarray | None = None
    """bool, of a `mask`: what its box holds, from the first point on."""


@dataclasses.dataclass(frozen=True)
class Outlines:
    """What a file holds, in the order of drawing."""

    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None
    """Height and width of the image, where the file says."""


POINTS = {"polygon": (3, 10**6), "rectangle": (2, 2), "circle": (2, 2), "mask": (2, 2)}
"""Kinds of shapes that have an area → least and most points."""


def read_outlines(path: Path) -> Outlines:
    """Read a labelme file.

    Raises:
        UserError: no readable JSON, no labelme file, or a shape without area, such as a line.
    """
    content = read_foreign_json(path, "save it again in labelme")
    if isinstance(content, dict) and "annotations" in content:
        raise file_error(
            path,
            "COCO annotations, expected a labelme file per image or masks as PNG; convert them: "
            f"imjax convert {path.name} NEW_FOLDER --images=IMAGES",
            ErrorCode.UNSUPPORTED,
        )
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise file_error(
            path, "no list of shapes, expected a labelme file; convert it to PNG masks", ErrorCode.UNSUPPORTED
        )
    size = content.get("imageHeight"), content.get("imageWidth")
    shapes = tuple(_parse_shape(path, shape) for shape in content["shapes"])
    known = all(isinstance(side, int) and not isinstance(side, bool) for side in size)
    return Outlines(shapes, (int(size[0]), int(size[1])) if known else None)  # type: ignore[arg-type]


def _parse_shape(path: Path, shape: Any) -> Shape:
    kind = shape.get("shape_type") or "polygon" if isinstance(shape, dict) else None
    if not isinstance(kind, str) or kind not in POINTS:
        raise file_error(
            path,
            f"a shape of the type {kind!r}, expected {', '.join(POINTS)}; redraw it as a polygon",
            ErrorCode.UNSUPPORTED,
        )
    label, points = shape.get("label"), shape.get("points")
    least, most = POINTS[kind]
    try:
        found = tuple((float(x), float(y)) for x, y in points)
        sound = least <= len(found) <= most and bool(np.isfinite(found).all())
    except (TypeError, ValueError, OverflowError):
        sound = False
    if not sound or not isinstance(label, str) or not label.strip():
        raise file_error(
            path,
            f"a {kind} with the label {label!r} and not {least} points or more, or without a label; "
            "redraw it",
            ErrorCode.MALFORMED,
        )
    label = label.strip()
    ignored = label == IGNORED_LABEL or label.casefold() == VOID_NAME
    group = shape.get("group_id")
    return Shape(
        VOID_NAME if ignored else label,
        kind,
        found,
        group if type(group) is int else None,
        _read_shape_mask(path, shape.get("mask")) if kind == "mask" else None,
    )


def _read_shape_mask(path: Path, text: Any) -> np.ndarray:
    """The picture in a shape of the type `mask`, bool."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as picture:
            return np.asarray(picture.convert("L")) > 0
    except (TypeError, ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise file_error(
            path, f"a mask that is no PNG in base64 ({error}); redraw it", ErrorCode.MALFORMED
        ) from error


def format_shape(
    label: str, points: Sequence[Sequence[float]], kind: str = "polygon", group: int | None = None
) -> dict[str, Any]:
    """A shape as labelme stores it; arguments as of `Shape`."""
    return {
        "label": label, "points": points, "group_id": group, "description": "", "shape_type": kind,
        "flags": {}, "mask": None,
    }  # fmt: skip


def format_outlines(
    shapes: Sequence[Mapping[str, Any]], image_name: str, size: tuple[int, int]
) -> dict[str, Any]:
    """The content of a labelme file.

    Args:
        shapes: of `format_shape`, in the order of drawing.
        image_name: file name of the image.
        size: its height and width.
    """
    return {
        "version": VERSION, "flags": {}, "shapes": [*shapes], "imagePath": image_name, "imageData": None,
        "imageHeight": size[0], "imageWidth": size[1],
    }  # fmt: skip


def list_names(outlines: Iterable[Outlines]) -> tuple[str, ...]:
    """Labels of all files, sorted."""
    labels = {shape.label for each in outlines for shape in each.shapes}
    return tuple(sorted(labels - {VOID_NAME, GROUND_LABEL}))


def find_unknown_label(path: Path, outlines: Outlines, table: ClassTable) -> UserError | None:
    """The complaint about a label that `classes.csv` has not."""
    for name in list_names([outlines]):
        if name not in table.names:
            near = suggest_closest(name, table.names)
            return file_error(
                path, f"label {name!r} is no class of classes.csv{near}; correct it", ErrorCode.UNKNOWN
            )
    return None


def paint(path: Path, size: tuple[int, int], values: Mapping[str, int], ground: int) -> np.ndarray:
    """Labels uint8 `[h, w]`: shapes one over the other in their order, as labelme's converters paint them.

    Args:
        path: the labelme file.
        size: height and width of the image.
        values: label of a shape → label of its pixels.
        ground: label of the pixels without shape.

    Raises:
        UserError: as `read_outlines`, or the file is about an image of another size.
    """
    outlines = read_outlines(path)
    if outlines.size is not None and outlines.size != size:
        height, width = outlines.size
        raise file_error(
            path,
            f"drawn on an image of {width}x{height} (w x h), but its image is {size[1]}x{size[0]}; expected "
            "equal sizes, correct or remove the pair",
            ErrorCode.CONFLICT,
        )
    canvas = Image.new("L", size[::-1], ground)
    draw = ImageDraw.Draw(canvas)
    values = {GROUND_LABEL: ground, VOID_NAME: VOID, **values}
    for shape in outlines.shapes:
        draw_shape(draw, shape, values[shape.label])
    return np.asarray(canvas)


def draw_shape(draw: ImageDraw.ImageDraw, shape: Shape, value: int) -> None:
    """Draw one shape as labelme's converters do."""
    if shape.kind == "polygon":
        draw.polygon(shape.points, fill=value, outline=value)
    elif shape.kind == "rectangle":
        draw.rectangle(_box(shape.points), fill=value, outline=value)
    elif shape.mask is not None:
        x, y = shape.points[0]
        draw.bitmap((int(x), int(y)), Image.fromarray(shape.mask.astype(np.uint8) * 255), fill=value)
    else:
        (x, y), (at_x, at_y) = shape.points
        radius = float(np.hypot(at_x - x, at_y - y))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=value, outline=value)


def _box(points: Sequence[Point]) -> tuple[float, float, float, float]:
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
