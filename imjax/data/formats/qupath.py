"""GeoJSON as QuPath exports and imports objects: a file per image, polygons with holes and a class each.

Layout by https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np

from imjax.data.folder.tables import VOID_NAME, Color
from imjax.data.formats.annotations import (
    AnnotatedImage,
    AnnotationSet,
    ImageIndex,
    Region,
    class_names,
    make_region,
    normalize_name,
    read_json,
    write_json,
)
from imjax.data.formats.polygons import fill_rings, trace_polygons
from imjax.errors import ErrorCode, UserError, file_error

ENDING = ".geojson"
UNNAMED = "object"
"""Class of all objects where none has one."""
SHAPES = ("Polygon", "MultiPolygon")


def is_content(content: Any) -> bool:
    """Whether a JSON file is of this format."""
    features = content.get("features", [content]) if isinstance(content, dict) else content
    return isinstance(features, list) and all(
        isinstance(each, dict) and each.get("type") == "Feature" for each in features
    )


def read(files: list[Path], images: ImageIndex) -> AnnotationSet:
    """Read a file per image, which is named after it; see `conversion`."""
    contents = [(path, _list_features(path)) for path in files]
    colors: dict[str, Color] = {}
    is_named = any(_classification(each) for _, features in contents for each in features)
    annotated: list[AnnotatedImage] = []
    for path, features in contents:
        # `a.tif.geojson` or `a.geojson`, and so by older versions with the ending `.json`.
        image = images.open_image(images.find(path.stem, path), path)
        regions = [
            _read_region(path, number, each, image.size, colors, is_named)
            for number, each in enumerate(features, 1)
        ]
        annotated.append(image.annotate(regions))
    names = sorted({region.name for image in annotated for region in image.regions or ()})
    return AnnotationSet(class_names(names, files[0]), (*annotated, *images.rest(annotated)), colors)


def _list_features(path: Path) -> list[Any]:
    content = read_json(path)
    if not is_content(content):
        raise file_error(
            path, "no GeoJSON features, expected QuPath's export of objects", ErrorCode.UNSUPPORTED
        )
    return content if isinstance(content, list) else content.get("features", [content])


def _classification(feature: Any) -> Any:
    properties = feature.get("properties")
    return properties.get("classification") if isinstance(properties, dict) else None


def _read_region(
    path: Path, number: int, feature: Any, size: tuple[int, int], colors: dict[str, Color], is_named: bool
) -> Region | None:
    what, classification = f"feature {number}", _classification(feature)
    if not is_named:
        name = UNNAMED
    elif not isinstance(classification, dict):
        raise file_error(
            path, f"{what} has no classification, as others have; set its class in QuPath", ErrorCode.MISSING
        )
    else:
        name = normalize_name(classification.get("name"), path, what)
        if color := _read_color(classification):
            colors.setdefault(name, color)
    geometry = feature.get("geometry")
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in SHAPES:
        raise file_error(
            path,
            f"{what} is a {kind}, expected {' or '.join(SHAPES)}; delete or redraw it",
            ErrorCode.UNSUPPORTED,
        )
    coordinates = geometry.get("coordinates")
    try:
        rings = [
            ring for polygon in ([coordinates] if kind == "Polygon" else coordinates) for ring in polygon
        ]
        arrays = [np.asarray(ring, np.float64)[:, :2] for ring in rings]
        if not all(len(ring) > 3 and ring.shape[1] == 2 and np.isfinite(ring).all() for ring in arrays):
            raise ValueError
    except (TypeError, ValueError, IndexError) as error:
        raise file_error(
            path,
            f"{what}: coordinates, expected rings of 4 points or more; export again",
            ErrorCode.MALFORMED,
        ) from error
    return make_region(name, *fill_rings(arrays, size))


def _read_color(classification: dict[str, Any]) -> Color | None:
    """`color` of newer versions, three numbers, or `colorRGB` of older ones, one signed number."""
    color, packed = classification.get("color"), classification.get("colorRGB")
    if isinstance(color, list) and len(color) == 3 and all(type(v) is int and 0 <= v < 256 for v in color):
        return color[0], color[1], color[2]
    if type(packed) is int:
        return packed >> 16 & 255, packed >> 8 & 255, packed & 255
    return None


def write(annotations: AnnotationSet, target: Path) -> None:
    """Write `<image>.geojson` for each image, to be imported into QuPath; see `conversion`."""
    for image in annotations.images:
        if image.regions is None:
            continue
        features = [_describe(region, annotations) for region in image.regions]
        path = target / f"{image.path.name}{ENDING}"
        if path.exists():
            raise UserError(
                f"{path}: two images of this name; rename one", code=ErrorCode.CONFLICT, field=str(path)
            )
        write_json(path, {"type": "FeatureCollection", "features": features})


def _describe(region: Region, annotations: AnnotationSet) -> dict[str, Any]:
    # GeoJSON repeats the first point of a ring at its end.
    polygons = [
        [
            [*(ring + (region.left, region.top)).tolist(), (ring[0] + (region.left, region.top)).tolist()]
            for ring in rings
        ]
        for rings in trace_polygons(region.mask)
    ]
    single = len(polygons) == 1
    color = (0, 0, 0) if region.name == VOID_NAME else annotations.color(region.name)
    return {
        "type": "Feature",
        "id": str(uuid.uuid4()),
        "geometry": {
            "type": "Polygon" if single else "MultiPolygon",
            "coordinates": polygons[0] if single else polygons,
        },
        "properties": {
            "objectType": "annotation",
            "classification": {"name": region.name, "color": list(color)},
        },
    }
