"""Image panels as data URIs: the same images through every generation, in one strip per image."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Sequence

import cv2
import numpy as np

from imjax.report import names
from imjax.report.load import Run

LONGEST = 320
"""Pixels of the longer side, at most; the page shows about half of them per inch of a screen."""
PHOTOGRAPHS = ("image", "view")
"""Panels without hard edges: the others are label maps, whose colors must stay exact."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """One panel; `tiny` ones are enlarged without smoothing."""

    src: str
    title: str
    tiny: bool


@dataclasses.dataclass(frozen=True)
class Strip:
    """Everything there is of one image."""

    title: str
    groups: tuple[tuple[Picture, ...], ...]
    """Pictures of a group stay side by side."""


Panels = dict[str, np.ndarray]
"""Title → uint8 RGB images `[n, h, w, 3]`."""
SHARED = ("image", "truth")
"""The stages show the same images, so that these are needed once."""


def strips(run: Run, count: int) -> tuple[list[Strip], list[Strip]]:
    """Strips of `count` unlabeled images through labeling, and of as many test images through training.

    Beside an unlabeled image and its truth stands what the last generation predicts for it, if known.
    """
    labeling, training, final = [], [], {}
    for stage in run.stages:
        if stage.name.startswith("label_"):
            labeling.append((f"gen. {stage.name.removeprefix('label_g')}", stage.panels()))
        elif stage.name.startswith("train_"):
            training.append((names.stage(stage.name).removesuffix(", training"), stage.panels()))
            predicted = [*stage.panels("unlabeled").values()]
            final = {"final prediction": predicted[0]} if predicted else final
    return _strips(labeling, "unlabeled image", count, final), _apart(training, "test image", count)


def looks(run: Run, count: int) -> list[Strip]:
    """What a joint method's loss saw: a strip for each of `count` unlabeled images, one for maps."""
    found = []
    for stage in run.stages:
        panels = stage.panels("looks")
        per_image = {name: images for name, images in panels.items() if len(images) > 1}
        maps = [(picture(images[0], name),) for name, images in panels.items() if len(images) == 1]
        found += _apart([("", per_image)], "unlabeled image", count)
        found += [Strip("a batch", tuple(maps))] if maps else []
    return found


def side_by_side(runs: Sequence[Run], count: int) -> list[Strip]:
    """What the last net of every method says of the same `count` test images.

    Args:
        runs: of one dataset; of a method's runs the first counts, and runs that show other images than the
            first one are left out.
        count: of images, at most.

    Returns:
        Nothing where there are not two methods to compare.
    """
    shown: dict[str, Panels] = {}
    for run in runs:
        last: dict[str, Panels] = {}
        for stage in run.stages:
            if stage.name.startswith("train_") and "prediction" in (panels := stage.panels()):
                name = stage.name.removeprefix("train_")
                last[run.method if re.fullmatch(r"g\d+", name) else run.titles.get(name, name)] = panels
        for method, panels in last.items():
            shown.setdefault(method, panels)
    first = next(iter(shown.values()), {})
    alike = {m: panels for m, panels in shown.items() if np.array_equal(panels["image"], first["image"])}
    if len(alike) < 2:
        return []
    columns = [("", {name: first[name] for name in SHARED if name in first})]
    for method in sorted(alike, key=names.position):
        columns.append(("", {names.method(method): alike[method]["prediction"]}))
    return _strips(columns, "test image", count)


def _apart(stages: Sequence[tuple[str, Panels]], title: str, count: int) -> list[Strip]:
    """`_strips` with every picture but image and truth in a group of its own."""
    return [
        Strip(strip.title, (strip.groups[0][:2], *((one,) for one in _rest(strip))))
        for strip in _strips(stages, title, count)
    ]


def _rest(strip: Strip) -> list[Picture]:
    return [*strip.groups[0][2:], *(one for group in strip.groups[1:] for one in group)]


def _strips(
    stages: Sequence[tuple[str, Panels]], title: str, count: int, final: Panels | None = None
) -> list[Strip]:
    """A strip per image: what the stages share and `final` in the first group, then a group per stage."""
    stages = [(name, panels) for name, panels in stages if panels]
    if not stages:
        return []
    shared = {name: images for name, images in stages[0][1].items() if name in SHARED}
    columns = [("", shared | (final or {}))] if shared or final else []
    columns += [(name, {k: v for k, v in panels.items() if k not in SHARED}) for name, panels in stages]
    columns = [(name, panels) for name, panels in columns if panels]
    count = min([count, *(len(images) for _, panels in columns for images in panels.values())])
    return [
        Strip(
            f"{title} {i + 1}",
            tuple(
                tuple(
                    picture(images[i], f"{stage}: {name}" if stage else name, name in PHOTOGRAPHS)
                    for name, images in panels.items()
                )
                for stage, panels in columns
            ),
        )
        for i in range(count)
    ]


def picture(image: np.ndarray, title: str, photograph: bool = False) -> Picture:
    """uint8 RGB `[h, w, 3]` → an image on the page, no larger than is needed there.

    Photographs above thumbnail size are JPEG, a tenth of their PNG.
    """
    height, width = image.shape[:2]
    scale = LONGEST / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if photograph else cv2.INTER_NEAREST)
    kind, options = (
        ("jpeg", [cv2.IMWRITE_JPEG_QUALITY, 88]) if photograph and height * width > 96 * 96 else ("png", [])
    )
    _, data = cv2.imencode(f".{kind}", np.ascontiguousarray(image[..., ::-1]), options)
    uri = f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"
    return Picture(uri, title, max(height, width) < 160)
