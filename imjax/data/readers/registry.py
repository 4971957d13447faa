"""The datasets by name. A new one is a module with a `raw.Reader` and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Required, TypedDict

from imjax.data.folder import reader as folder
from imjax.data.options import DataOptions
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
from imjax.data.synthetic import scenes
from imjax.errors import UserError


def _synthetic(options: DataOptions) -> scenes.Synthetic:
    counts = options.synthetic_train, options.synthetic_val, options.synthetic_test
    return scenes.Synthetic(*counts, size=options.size)


READERS: dict[str, Callable[[DataOptions], Reader]] = {
    "acdc": lambda options: acdc.Acdc(options.label_fraction),
    "camvid": lambda options: camvid.Camvid(),
    "cityscapes": lambda options: cityscapes.Cityscapes(),
    "dagm": lambda options: dagm.Dagm(),
    "dsb2018": lambda options: dsb2018.Dsb2018(),
    "folder": lambda options: folder.Folder(options.label_kind, options.rotation_invariant),
    "hela": lambda options: hela.Hela(),
    "isic2018": lambda options: isic2018.Isic2018(),
    "la": lambda options: left_atrium.La(options.label_fraction, options.val_fraction, options.split_seed),
    "mt": lambda options: magnetic_tiles.MagneticTiles(options.split),
    "neu_seg": lambda options: neu_seg.NeuSeg(options.split),
    "suim": lambda options: suim.Suim(),
    "synthetic": _synthetic,
}


class PreparationDefaults(TypedDict, total=False):
    """What a dataset's published preparation sets, by field of `DataOptions`."""

    size: Required[tuple[int, int]]
    crops: Required[int]
    depth: int
    overlap: float
    label_fraction: float
    val_fraction: float


# What the published preparation of a set uses where the user says nothing.
DEFAULTS: dict[str, PreparationDefaults] = {
    "acdc": {"size": (256, 256), "crops": 0},
    "camvid": {"size": (352, 480), "crops": 0},
    "cityscapes": {"size": (208, 416), "crops": 0},
    "dagm": {"size": (256, 256), "crops": 0},
    "dsb2018": {"size": (256, 256), "crops": 0},
    # Every mask counts, and of few masks a tenth would be too small a val.
    "folder": {"size": (256, 256), "crops": 0, "label_fraction": 1.0, "val_fraction": 0.2},
    "hela": {"size": (256, 256), "crops": 0, "overlap": 0.6},
    "isic2018": {"size": (256, 256), "crops": 0},
    "la": {"size": (208, 176), "depth": 96, "crops": 0},
    "mt": {"size": (256, 256), "crops": 0},
    "neu_seg": {"size": (256, 256), "crops": 0},
    "suim": {"size": (256, 256), "crops": 2},
    "synthetic": {"size": (64, 64), "crops": 0},
}


def make(options: DataOptions) -> Reader:
    """The reader of `options.dataset`.

    Raises:
        UserError: unknown dataset, or a split that it does not have; with the known names.
    """
    reader = _reader(options)
    if options.split not in reader.spec.splits:
        raise UserError(
            f"split {options.split!r} is not one of {options.dataset}'s, "
            f"expected {' or '.join(map(repr, reader.spec.splits))}"
        )
    return reader


def names() -> list[str]:
    """Names of the datasets, sorted."""
    return sorted(READERS)


def spec(name: str) -> DatasetSpec:
    """Facts about a dataset without its data (own folder: `folder.SPEC`); UserError as for `make`."""
    return _reader(DataOptions(name)).spec


def _reader(options: DataOptions) -> Reader:
    if options.dataset not in READERS:
        raise UserError(f"dataset {options.dataset!r} is not known, expected one of {', '.join(names())}")
    return READERS[options.dataset](options)
