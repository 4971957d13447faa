"""Label Studio's JSON export: one file with a task per image, brushes, polygons, rectangles and ellipses.

Layout by https://labelstud.io/guide/export and /guide/task_format. Brushes are run lengths in bits, as
https://github.com/thi-ng/umbrella (rle-pack) packs them. Label Studio's own converter for them comes with a
server's worth of packages, so that these sixty lines are our own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import quoteattr

import numpy as np

from imjax.data.formats.annotations import (
    AnnotatedImage,
    AnnotationSet,
    ImageIndex,
    Region,
    check_inside,
    check_size,
    class_names,
    copy_images,
    make_region,
    normalize_name,
    read_json,
    write_bytes,
    write_json,
)
from imjax.data.formats.polygons import fill_rings
from imjax.data.image_io import ENDINGS
from imjax.errors import ErrorCode, file_error

FILE, CONFIG = "tasks.json", "label_config.xml"
UPLOAD = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded file."""
RUN_BITS = (3, 4, 8, 16)
"""Bits of the lengths of runs, four choices."""
CORNERS = 64
"""Of the polygon that stands for an ellipse."""


def is_content(content: Any) -> bool:
    """Whether a JSON file is of this format."""
    return isinstance(content, list) and all(isinstance(each, dict) and "data" in each for each in content)


def read(files: list[Path], images: ImageIndex) -> AnnotationSet:
    """Read one or several exports; see `conversion`."""
    annotated: list[AnnotatedImage] = []
    for path in files:
        for task in read_json(path):
            what = f"task {task.get('id')}"
            file = _find_image(path, what, task["data"], images)
            results = _list_results(path, what, task)
            if results is None:
                continue
            image = images.open_image(file, path)
            regions = [_read_region(path, what, result, image) for result in results]
            annotated.append(image.annotate(regions))
    names = sorted({region.name for image in annotated for region in image.regions or ()})
    return AnnotationSet(class_names(names, files[0]), (*annotated, *images.rest(annotated)))


def _find_image(path: Path, what: str, data: Any, images: ImageIndex) -> Path:
    """The image of a task, by the last part of its address, with or without what an upload puts before it."""
    texts = [text for text in data.values() if isinstance(text, str)] if isinstance(data, dict) else []
    for text in texts:
        parts = urlsplit(text)
        name = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
        if Path(name).suffix.lower() in ENDINGS:
            # An address begins where it will; what it names must not lead back out of there.
            name = check_inside(name.replace("\\", "/").lstrip("/"), path).name
            plain = UPLOAD.sub("", name)
            known = any(file.name == name for file in images.files)
            return images.find(name if known else plain, path)
    raise file_error(
        path, f"{what}: no address of an image in its data, expected one; export again", ErrorCode.MISSING
    )


def _list_results(path: Path, what: str, task: Any) -> list[Any] | None:
    """What was drawn; None where nobody has submitted anything."""
    try:
        submitted = [each for each in task.get("annotations", []) if not each.get("was_cancelled")]
        results = [result for each in submitted for result in each["result"]]
        shapes = [each for each in results if each.get("type", "").endswith("labels")]
    except (TypeError, KeyError, AttributeError) as error:
        raise file_error(
            path, f"{what}: annotations, expected a list with results; export as JSON", ErrorCode.MALFORMED
        ) from error
    if len(submitted) > 1:
        raise file_error(
            path,
            f"{what}: {len(submitted)} annotations of one image, expected one; which of them counts is not "
            "said, delete the others in Label Studio",
            ErrorCode.CONFLICT,
        )
    return shapes if submitted else None


def _read_region(path: Path, what: str, result: Any, image: AnnotatedImage) -> Region | None:
    kind, value = result["type"], result.get("value")
    try:
        (label,) = value[kind]
        check_size(image, result.get("original_height"), result.get("original_width"))
        if result.get("image_rotation"):
            raise file_error(
                path, f"{what}: drawn on a turned image; turn it back and draw again", ErrorCode.UNSUPPORTED
            )
        mask = _draw(kind, value, image.size)
    except (TypeError, KeyError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise file_error(
            path, f"{what}: {kind} with the value {str(value)[:60]}, expected one label and its shape",
            ErrorCode.MALFORMED,
        ) from error  # fmt: skip
    if mask is None:
        raise file_error(
            path,
            f"{what}: {kind}, expected brushes, polygons, rectangles or ellipses; delete it",
            ErrorCode.UNSUPPORTED,
        )
    return make_region(normalize_name(label, path, what), *mask)


def _draw(kind: str, value: Any, size: tuple[int, int]) -> tuple[np.ndarray, int, int] | None:
    """A bool mask, and the row and column where it begins; None of what has no area.

    Places are percents of the image's sides.
    """
    height, width = size
    if kind == "brushlabels":
        if value["format"] != "rle":
            raise ValueError(value["format"])
        # The colors of the brush: what is not transparent.
        brush = decode_brush(bytes(value["rle"]), height * width * 4)
        return brush.reshape(height, width, 4)[..., 3] > 0, 0, 0
    scale = np.array([width, height]) / 100
    if kind == "polygonlabels":
        points = np.asarray(value["points"], np.float64) * scale
        if len(points) < 3 or not np.isfinite(points).all():
            raise ValueError(len(points))
        return fill_rings([points], size)
    if kind not in ("rectanglelabels", "ellipselabels"):
        return None
    start = np.array([value["x"], value["y"]], np.float64) * scale
    if kind == "rectanglelabels":
        sides = np.array([value["width"], value["height"]], np.float64) * scale
        ring = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * sides
    else:
        radii = np.array([value["radiusX"], value["radiusY"]], np.float64) * scale
        angles = np.linspace(0, 2 * math.pi, CORNERS, endpoint=False)
        ring = np.stack([np.cos(angles), np.sin(angles)], -1) * radii
    angle = math.radians(value.get("rotation") or 0)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    points = start + ring @ turn
    if not np.isfinite(points).all():
        raise ValueError
    return fill_rings([points], size)


def decode_brush(data: bytes, count: int) -> np.ndarray:
    """Unpack run lengths.

    Layout, in bits: 32 the number of values, 5 their bits less 1, four times 4 the bits of lengths less 1;
    then until all values are there 1 whether they are equal, 2 which length, the length less 1, and one value
    or as many as the length says.

    Args:
        data: the bytes.
        count: of values that there must be.

    Returns:
        uint8 `[count]`.

    Raises:
        ValueError: another number of values, or the data end before.
    """
    bits = "".join(f"{byte:08b}" for byte in data)
    at = 0

    def take(length: int) -> int:
        nonlocal at
        at += length
        # What lies behind the end is an empty text, which is no number.
        return int(bits[at - length : at], 2) if at <= len(bits) else int("", 2)

    if take(32) != count:
        raise ValueError("another number of values than the image has")
    word = take(5) + 1
    lengths = [take(4) + 1 for _ in range(4)]
    if word > 8:
        raise ValueError("values of more than 8 bits")
    out = np.zeros(count, np.uint8)
    done = 0
    while done < count:
        equal, run = take(1), take(lengths[take(2)]) + 1
        end = min(done + run, count)
        if equal:
            out[done:end] = take(word)
        else:
            out[done:end] = [take(word) for _ in range(end - done)]
        done = end
    return out


def encode_brush(values: np.ndarray, times: int = 1) -> list[int]:
    """Pack uint8 `[n]`, each so many times, as `decode_brush` says; a number per byte."""
    bits = [f"{len(values) * times:032b}", f"{7:05b}", *(f"{length - 1:04b}" for length in RUN_BITS)]
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    ends = np.r_[starts[1:], len(values)]
    for value, left in zip(values[starts].tolist(), (times * (ends - starts)).tolist(), strict=True):
        for run in _cut_runs(left):
            choice = next(i for i, length in enumerate(RUN_BITS) if run <= 1 << length)
            bits.append(f"1{choice:02b}{run - 1:0{RUN_BITS[choice]}b}{value:08b}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]


def _cut_runs(length: int) -> Iterator[int]:
    longest = 1 << RUN_BITS[-1]
    while length > 0:
        yield min(length, longest)
        length -= longest


def write(annotations: AnnotationSet, target: Path) -> None:
    """Write `tasks.json` with brushes, the images and the labeling interface; see `conversion`.

    Addresses are those of local storage, with `images` below Label Studio's document root.
    """
    tasks = []
    for number, image in enumerate(annotations.images, 1):
        task: dict[str, Any] = {
            "id": number,
            "data": {"image": f"/data/local-files/?d=images/{image.path.name}"},
            "annotations": [],
        }
        if image.regions is not None:
            results = [_describe(region, image.size, i) for i, region in enumerate(image.regions)]
            task["annotations"].append({"id": number, "was_cancelled": False, "result": results})
        tasks.append(task)
    write_json(target / FILE, tasks)
    labels = "".join(
        f'    <Label value={quoteattr(name)} background="{annotations.hex_color(name)}"/>\n'
        for name in annotations.all_names
    )
    config = (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="label" toName="image">\n{labels}  </BrushLabels>\n</View>\n'
    )
    write_bytes(target / CONFIG, config.encode())
    copy_images(annotations.images, target / "images")


def _describe(region: Region, size: tuple[int, int], number: int) -> dict[str, Any]:
    height, width = size
    whole = np.zeros(size, np.uint8)
    whole[region.box] = np.where(region.mask, 255, 0)
    return {
        "id": f"r{number}",
        "type": "brushlabels",
        "from_name": "label",
        "to_name": "image",
        "origin": "manual",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "format": "rle",
            "rle": encode_brush(whole.ravel(), times=4),
            "brushlabels": [region.name],
        },
    }
