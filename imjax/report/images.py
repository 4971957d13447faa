"""Image panels as data URIs: the same images through every generation, in one strip per image."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Sequence

import cv2
import numpy as np

from imjax.report import names
from imjax.report.load import RunRecord

MAX_PER_STAGE = 8
"""A stage has no more images than that, see `pipeline.image_panels`."""
MAX_SIDE = 320
"""Pixels of the longer side; the page shows about half of them per inch of a screen."""
PHOTOGRAPHS = ("image", "view")
"""Panels without hard edges: the others are label maps, whose colors must stay exact."""
BATCH = "a batch"
"""Title of the strip with maps of a whole batch."""
SHARED = ("image", "truth")
"""Panels that are the same in every stage, and are shown once."""

Panels = dict[str, np.ndarray]
"""Title → uint8 RGB images `[n, h, w, 3]`."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """One panel; `tiny` ones are enlarged without smoothing."""

    src: str
    title: str
    tiny: bool


@dataclasses.dataclass(frozen=True)
class Strip:
    """All panels of one image."""

    title: str
    groups: tuple[tuple[Picture, ...], ...]
    """Pictures of a group stay next to each other."""
    large: bool = False
    """Whether there are few pictures, to be looked at closely."""


def build_stage_strips(run: RunRecord, count: int) -> tuple[list[Strip], list[Strip]]:
    """Strips of `count` unlabeled images through labeling, and of as many test images through training.

    Next to an unlabeled image and its ground truth is the prediction of the last generation, if known.
    """
    labeling, training = [], []
    final: Panels = {}
    unlabeled: Sequence[str] = ()
    test: Sequence[str] = ()
    for stage in run.stages:
        if stage.name.startswith("label_"):
            labeling.append((f"gen. {stage.name.removeprefix('label_g')}", stage.load_panels()))
            unlabeled = unlabeled or stage.load_files()
        elif stage.name.startswith("train_"):
            training.append((names.stage_title(stage.name).removesuffix(", training"), stage.load_panels()))
            test = test or stage.load_files()
            predictions = [*stage.load_panels("unlabeled").values()]
            final = {"final prediction": predictions[0]} if predictions else final
    labeling_strips = _build_strips(labeling, _title_images("unlabeled image", unlabeled), count, final)
    training_strips = _build_strips(training, _title_images("test image", test), count)
    return labeling_strips, _split_groups(training_strips)


def _title_images(kind: str, files: Sequence[str]) -> tuple[str, ...]:
    """What the images of a stage's panels are called, by their files where these are known."""
    return tuple(files) or tuple(f"{kind} {i}" for i in range(1, MAX_PER_STAGE + 1))


def build_loss_strips(run: RunRecord, count: int) -> list[Strip]:
    """Inputs of a joint method's loss: one strip per unlabeled image, one for maps of a batch."""
    strips = []
    for stage in run.stages:
        panels = stage.load_panels("looks")
        per_image = {name: images for name, images in panels.items() if len(images) > 1}
        titles = _title_images("unlabeled image", stage.load_files("looks"))
        strips += _split_groups(_build_strips([("", per_image)], titles, count))
        maps = [(encode_picture(images[0], name),) for name, images in panels.items() if len(images) == 1]
        strips += [Strip(BATCH, tuple(maps))] if maps else []
    return strips


LOSS_PANELS = {
    "view": "the view",
    "reference": "the prediction used as target",
    "supervised": "the prediction that learned from it",
    "region": "the regions that MetaSSL weights apart",
    "weight": "the weight of each pixel (white: full weight)",
}
"""Beginning of a panel's title → what it shows."""


def describe_loss_strips(strips: Sequence[Strip]) -> str:
    """What the strips of a loss show, without a word of what is not there."""
    titles = [picture.title for strip in strips for group in strip.groups for picture in group]
    shown = [text for name, text in LOSS_PANELS.items() if any(title.startswith(name) for title in titles)]
    parts = [f"Unlabeled images in the loss after the last step: {', '.join(shown)}."] if shown else []
    if any(strip.title == BATCH for strip in strips):
        parts.append(
            "Maps of a batch: similarity of each image to each other image, white where two are similar."
        )
    return " ".join(parts)


def compare_methods(runs: Sequence[RunRecord], count: int) -> list[Strip]:
    """Predictions of the last net of every method on the same test images.

    Args:
        runs: of one dataset; of a method's runs that with the lowest seed counts, and runs that show other
            images than the first one are left out.
        count: of images, at most.

    Returns:
        Nothing where there are not two methods to compare.
    """
    methods: dict[str, Panels] = {}
    files: Sequence[str] = ()
    for run in sorted(runs, key=lambda run: run.seed):
        last: dict[str, Panels] = {}
        for stage in run.stages:
            if stage.name.startswith("train_") and "prediction" in (panels := stage.load_panels()):
                name = stage.name.removeprefix("train_")
                last[run.method if re.fullmatch(r"g\d+", name) else run.variant_names.get(name, name)] = (
                    panels
                )
                # Of the first run's: the images of all methods are equal to those.
                files = files or stage.load_files()
        methods |= {method: panels for method, panels in last.items() if method not in methods}
    first = next(iter(methods.values()), {})
    methods = {m: panels for m, panels in methods.items() if np.array_equal(panels["image"], first["image"])}
    if len(methods) < 2:
        return []
    columns = [("", {name: first[name] for name in SHARED if name in first})]
    for method in sorted(methods, key=names.method_order):
        columns.append(("", {names.method_title(method): methods[method]["prediction"]}))
    return _build_strips(columns, _title_images("test image", files), count)


def _build_strips(
    stages: Sequence[tuple[str, Panels]], titles: Sequence[str], count: int, final: Panels | None = None
) -> list[Strip]:
    """A strip per image: shared panels and `final` in the first group, then a group per stage."""
    stages = [(name, panels) for name, panels in stages if panels]
    if not stages:
        return []
    shared = {name: images for name, images in stages[0][1].items() if name in SHARED}
    columns = [("", shared | (final or {}))]
    columns += [(name, {k: v for k, v in panels.items() if k not in SHARED}) for name, panels in stages]
    columns = [(f"{stage}: " if stage else "", panels) for stage, panels in columns if panels]
    count = min([count, len(titles), *(len(images) for _, panels in columns for images in panels.values())])

    def build_group(prefix: str, panels: Panels, i: int) -> tuple[Picture, ...]:
        return tuple(
            encode_picture(images[i], prefix + name, name in PHOTOGRAPHS) for name, images in panels.items()
        )

    return [
        Strip(titles[i], tuple(build_group(prefix, panels, i) for prefix, panels in columns))
        for i in range(count)
    ]


def _split_groups(strips: Sequence[Strip]) -> list[Strip]:
    """The strips with every picture but image and ground truth in a group of its own."""
    separated = []
    for strip in strips:
        first, *others = strip.groups
        pictures = [*first[2:], *(picture for group in others for picture in group)]
        separated.append(Strip(strip.title, (first[:2], *((picture,) for picture in pictures))))
    return separated


def encode_picture(image: np.ndarray, title: str, photograph: bool = False) -> Picture:
    """uint8 RGB `[h, w, 3]` → an image on the page, no larger than is needed there.

    Photographs above thumbnail size are JPEG, a tenth of their PNG.
    """
    height, width = image.shape[:2]
    scale = MAX_SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if photograph else cv2.INTER_NEAREST)
    kind, options = "png", []
    if photograph and height * width > 96 * 96:
        kind, options = "jpeg", [cv2.IMWRITE_JPEG_QUALITY, 88]
    _, data = cv2.imencode(f".{kind}", np.ascontiguousarray(image[..., ::-1]), options)
    uri = f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"
    return Picture(uri, title, max(height, width) < 160)
