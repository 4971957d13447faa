"""The datasets by name. A new one is a module with a `raw.Reader` and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Required, TypedDict

from imjax.config.schema import Data
from imjax.data.folder import reader as folder
from imjax.data.image_meaning import ImageChoices
from imjax.data.readers import (
    acdc,
    camvid,
    cityscapes,
    dagm,
    dsb2018,
    hela,
    isic2018,
    left_atrium,
    magnetic_tiles,
    neu_seg,
    suim,
)
from imjax.data.readers.base import Reader
from imjax.data.spec import DatasetSpec
from imjax.data.splits import ImageCounts, split_parts
from imjax.data.synthetic import scenes
from imjax.errors import ErrorCode, UserError


def _synthetic(data: Data) -> scenes.Synthetic:
    counts = data.synthetic
    return scenes.Synthetic(counts.num_train, counts.num_val, counts.num_test, size=data.size)


READERS: dict[str, Callable[[Data], Reader]] = {
    "acdc": lambda data: acdc.Acdc(data.label_fraction),
    "camvid": lambda data: camvid.Camvid(),
    "cityscapes": lambda data: cityscapes.Cityscapes(),
    "dagm": lambda data: dagm.Dagm(),
    "dsb2018": lambda data: dsb2018.Dsb2018(),
    "folder": lambda data: folder.Folder(data.label_kind, data.rotation_invariant, ImageChoices.of(data)),
    "hela": lambda data: hela.Hela(),
    "isic2017": lambda data: isic2018.Isic2018(isic2018.SPEC_2017),
    "isic2018": lambda data: isic2018.Isic2018(),
    "la": lambda data: left_atrium.La(data.label_fraction, data.val_fraction, data.split_seed),
    "mt": lambda data: magnetic_tiles.MagneticTiles(data.split),
    "neu_seg": lambda data: neu_seg.NeuSeg(data.split),
    "suim": lambda data: suim.Suim(),
    "synthetic": _synthetic,
}


class PreparationDefaults(TypedDict, total=False):
    """What a dataset's published preparation sets, by key of `config.data`."""

    size: Required[tuple[int, int]]
    random_crops: Required[int]
    depth: int
    tile_overlap: float
    label_fraction: float
    val_fraction: float


# What the published preparation of a set uses where the user says nothing.
DEFAULTS: dict[str, PreparationDefaults] = {
    "acdc": {"size": (256, 256), "random_crops": 0},
    "camvid": {"size": (352, 480), "random_crops": 0},
    "cityscapes": {"size": (208, 416), "random_crops": 0},
    "dagm": {"size": (256, 256), "random_crops": 0},
    "dsb2018": {"size": (256, 256), "random_crops": 0},
    # Every mask counts, and of few masks a tenth would be too small a val.
    "folder": {"size": (256, 256), "random_crops": 0, "label_fraction": 1.0, "val_fraction": 0.2},
    "hela": {"size": (256, 256), "random_crops": 0, "tile_overlap": 0.6},
    "isic2017": {"size": (256, 256), "random_crops": 0},
    "isic2018": {"size": (256, 256), "random_crops": 0},
    "la": {"size": (208, 176), "depth": 96, "random_crops": 0},
    "mt": {"size": (256, 256), "random_crops": 0},
    "neu_seg": {"size": (256, 256), "random_crops": 0},
    "suim": {"size": (256, 256), "random_crops": 2},
    "synthetic": {"size": (64, 64), "random_crops": 0},
}


PUBLISHED_IMAGES = {"cityscapes": 2975, "isic2018": 2594, "suim": 1525}
"""Images of the part of the original that training images are drawn from, for a plan without the data."""


def published_image_counts(data: Data) -> ImageCounts | None:
    """Training images of the complete dataset; None where they are not known without its files."""
    if data.dataset not in PUBLISHED_IMAGES:
        return None
    parts = {part: [f"{part}{i}" for i in range(n)] for part, n in _published_parts(data.dataset).items()}
    split = split_parts(parts, data.label_fraction, data.val_fraction, data.split_seed)
    crops = max(data.random_crops, 1)
    return ImageCounts(crops * len(split["labeled"]), crops * len(split["unlabeled"]))


def _published_parts(dataset: str) -> dict[str, int]:
    """Images by part of the original, as `split_parts` takes them; numbers of val and test do not matter."""
    training = "train_val" if dataset == "suim" else "train"
    others = {"test": 2} if dataset == "suim" else {"val_test": 2}
    return {training: PUBLISHED_IMAGES[dataset]} | others


def make(data: Data) -> Reader:
    """The reader of `data.dataset`.

    Raises:
        UserError: unknown dataset, or a split that it does not have; with the known names.
    """
    reader = _reader(data)
    if data.split not in reader.spec.splits:
        raise UserError(
            f"split {data.split!r} is not one of {data.dataset}'s, "
            f"expected {' or '.join(map(repr, reader.spec.splits))}",
            code=ErrorCode.UNKNOWN,
            field="data.split",
        )
    return reader


def names() -> list[str]:
    """Names of the datasets, sorted."""
    return sorted(READERS)


def spec(name: str) -> DatasetSpec:
    """Facts about a dataset without its data (own folder: `folder.SPEC`); UserError as for `make`."""
    return _reader(Data(name)).spec


def _reader(data: Data) -> Reader:
    if data.dataset not in READERS:
        raise UserError(
            f"dataset {data.dataset!r} is not known, expected one of {', '.join(names())}",
            code=ErrorCode.UNKNOWN,
            field="data.dataset",
        )
    return READERS[data.dataset](data)
