"""Small folders of images and masks, and what their masks say by the names of the classes."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import tifffile

from imjax.data.folder.mask_file import read_mask
from imjax.data.formats import conversion

SIZE = (12, 17)


def png(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def write_images(folder: Path, *names: str, size: tuple[int, int] = SIZE) -> None:
    draw = np.random.default_rng(0)
    for name in names:
        png(folder / f"{name}.png", draw.integers(0, 256, (*size, 3), np.uint8))


def make_mask() -> np.ndarray:
    """Two classes and void: a ring, a piece of one pixel, a line, one around a corner, a full border."""
    mask = np.zeros(SIZE, np.uint8)
    mask[1:6, 1:6] = 1
    mask[3, 3] = 0
    mask[2, 2] = 2
    mask[8, 1] = 1
    mask[10, 1:5] = 2
    mask[6, 8] = mask[7, 9] = 1
    mask[5:12, 12:] = 2
    mask[0, 8:14] = 255
    return mask


def write_folder(folder: Path) -> np.ndarray:
    """`a` has a mask and objects, `b` a mask without any, `c` none."""
    write_images(folder / "images", "a", "b", "c")
    mask = make_mask()
    png(folder / "masks" / "a.png", mask)
    png(folder / "masks" / "b.png", np.zeros(SIZE, np.uint8))
    rows = ("name,id,color", "background,0,#464646", "cell,1,#e69f00", "debris,2,#56b4e9", "")
    (folder / "classes.csv").write_text("\n".join(rows))
    objects = np.zeros(SIZE, np.uint16)
    objects[mask == 1] = 3
    # Two objects that touch.
    objects[5:9, 12:] = 7
    objects[9:12, 12:] = 8
    (folder / "instances").mkdir()
    tifffile.imwrite(folder / "instances" / "a.tif", objects)
    return mask


def write_labels(folder: Path) -> dict[str, np.ndarray]:
    """Two labels that overlap."""
    write_images(folder / "images", "a")
    masks = {"alive": np.zeros(SIZE, bool), "round": np.zeros(SIZE, bool)}
    masks["alive"][2:9, 2:9] = True
    masks["round"][5:11, 5:14] = True
    masks["round"][7, 7] = False
    for name, mask in masks.items():
        png(folder / "masks" / name / "a.png", mask.astype(np.uint8) * 255)
    return masks


def convert(source: Path, target: Path, name: str = "folder", images: Path | None = None, kind: str = "auto"):
    """As the command does it; what was read."""
    annotations = conversion.read_annotations(source, images, kind)
    target.mkdir(parents=True, exist_ok=True)
    conversion.write_annotations(annotations, target, name, kind)
    return annotations


def planes(folder: Path, stem: str) -> dict[str, np.ndarray]:
    """Bool `[h, w]` by the name of the class; background left out."""
    with (folder / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    if "id" not in rows[0]:
        return {
            row["name"]: read_mask(folder / "masks" / row["name"] / f"{stem}.png").pixels > 0 for row in rows
        }
    mask = read_mask(folder / "masks" / f"{stem}.png").pixels
    found = {row["name"]: mask == int(row["id"]) for row in rows}
    assert np.isin(mask, [int(row["id"]) for row in rows]).all()
    return {name: plane for name, plane in found.items() if name != "background"}


def outlines(labels: np.ndarray) -> set[frozenset[int]]:
    """The objects of a label image, whatever their numbers are."""
    return {frozenset(np.flatnonzero(labels == number).tolist()) for number in np.unique(labels) if number}
