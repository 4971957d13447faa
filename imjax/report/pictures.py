"""Image panels as data URIs: the same images through every generation, in one strip per image."""

from __future__ import annotations

import base64
import dataclasses

import cv2
import numpy as np

from imjax.report import names
from imjax.report.runs import Run

LONGEST = 320
"""Pixels of the longer side, at most; the page shows about half of them per inch of a screen."""
PHOTOGRAPHS = ("image", "view")
"""Panels without hard edges: the others are label maps, whose colours must stay exact."""


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
    pictures: tuple[Picture, ...]


def strips(run: Run, count: int) -> tuple[list[Strip], list[Strip]]:
    """Strips of `count` unlabelled images through labelling, and of as many test images through training."""
    stages = [(names.stage(s.name).removesuffix(", training"), s.name, s.panels()) for s in run.stages]
    labelling = [
        (f"gen. {name.removeprefix('label_g')}", panels)
        for _, name, panels in stages
        if name.startswith("label_")
    ]
    training = [(title, panels) for title, name, panels in stages if name.startswith("train_")]
    return _strips(labelling, "unlabelled image", count), _strips(training, "test image", count)


def looks(run: Run, count: int) -> list[Strip]:
    """What a joint method's loss saw: a strip for each of `count` unlabelled images, one for maps."""
    found = []
    for stage in run.stages:
        panels = stage.panels("looks")
        per_image = {name: images for name, images in panels.items() if len(images) > 1}
        maps = [picture(images[0], name) for name, images in panels.items() if len(images) == 1]
        found += _strips([("loss", per_image)], "unlabelled image", count)
        found += [Strip("a batch", tuple(maps))] if maps else []
    return found


def _strips(stages: list[tuple[str, dict[str, np.ndarray]]], title: str, count: int) -> list[Strip]:
    stages = [(name, panels) for name, panels in stages if panels]
    found = []
    for i in range(
        min([count, *(len(images) for _, panels in stages for images in panels.values())]) if stages else 0
    ):
        pictures = []
        for number, (stage, panels) in enumerate(stages):
            for name, images in panels.items():
                shared = name in ("image", "truth")
                # The stages show the same images, so that image and truth are needed once.
                if not shared or number == 0:
                    told = name if shared or stage == "loss" else f"{stage}: {name}"
                    pictures.append(picture(images[i], told, name in PHOTOGRAPHS))
        found.append(Strip(f"{title} {i + 1}", tuple(pictures)))
    return found


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
