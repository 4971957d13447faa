"""Draw nuclei for the tutorial first_project.md: a folder to train on, and new images with their truth.

  python docs/tutorials/draw_nuclei.py nuclei

writes

  nuclei/images/*.png       48 images, gray, 256 x 256
  nuclei/masks/*.png        masks of the first 12: 255 is nucleus, 0 is background
  nuclei_new/images/*.png   20 images that no training sees
  nuclei_new/truth/*.tif    label images of these: each nucleus has a number
  nuclei_all/masks/*.png    masks of all 48, in place of the hand that would paint them

The images are drawn and show no tissue. They are the same in every call.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import tifffile

SIDE = 256
IMAGES, MASKED, NEW = 48, 12, 20
DIM_EVERY = 5
"""Each so many-th image is dim and out of focus, but none of those with a mask."""
SHARE_TOUCHING = 0.35
"""Of the nuclei that are placed at the side of another one."""


def draw_field(draw: np.random.Generator, is_dim: bool) -> tuple[np.ndarray, np.ndarray]:
    """One field of view: image uint8 `[h, w]`, and uint16 `[h, w]` with a number for each nucleus."""
    numbers = place_nuclei(draw, count=int(draw.integers(10, 45)))
    light = np.zeros((SIDE, SIDE), np.float32)
    for number in range(1, numbers.max() + 1):
        light[numbers == number] = draw.uniform(0.45, 1.0)
    # Chromatin: grains of a few pixels.
    grain = cv2.GaussianBlur(draw.standard_normal((SIDE, SIDE)).astype(np.float32), (0, 0), 1.5)
    light *= 1 + 0.8 * grain
    light += draw_haze(draw)
    light = cv2.GaussianBlur(light, (0, 0), 2.6 if is_dim else 1.1)
    gray = 14 + (45 if is_dim else 150) * light + draw.normal(0, 5, (SIDE, SIDE))
    return np.clip(gray, 0, 255).astype(np.uint8), numbers


def place_nuclei(draw: np.random.Generator, count: int) -> np.ndarray:
    """Ellipses of 12 to 28 pixels, some of which touch; uint16 `[h, w]`, numbered from 1, 0 is background."""
    numbers = np.zeros((SIDE, SIDE), np.uint16)
    placed: list[tuple[float, float, float]] = []
    for _ in range(count):
        radius = draw.uniform(8, 14)
        row, column = draw.uniform(0, SIDE, 2)
        is_beside = placed and draw.random() < SHARE_TOUCHING
        if is_beside:
            row, column, other = placed[int(draw.integers(len(placed)))]
            angle = draw.uniform(0, 2 * np.pi)
            row += 0.9 * (radius + other) * np.sin(angle)
            column += 0.9 * (radius + other) * np.cos(angle)
        shape = np.zeros((SIDE, SIDE), np.uint8)
        axes = (round(radius), round(radius * draw.uniform(0.7, 1.0)))
        cv2.ellipse(shape, (round(column), round(row)), axes, draw.uniform(0, 180), 0, 360, 1, cv2.FILLED)
        area, hidden = shape.sum(), (shape.astype(bool) & (numbers > 0)).sum()
        if area < 60 or hidden > (0.12 * area if is_beside else 0):
            continue
        placed.append((row, column, radius))
        numbers[(shape > 0) & (numbers == 0)] = len(placed)
    return numbers


def draw_haze(draw: np.random.Generator) -> np.ndarray:
    """Uneven background, and blurred debris that is no nucleus; float32 `[h, w]`, nuclei have about 0.7."""
    nodes = draw.uniform(0, 0.15, (3, 3)).astype(np.float32)
    haze = cv2.resize(nodes, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    debris = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(int(draw.integers(0, 5))):
        place = tuple(int(x) for x in draw.integers(0, SIDE, 2))
        cv2.circle(debris, place, int(draw.integers(2, 7)), float(draw.uniform(0.3, 0.9)), cv2.FILLED)
    return haze + cv2.GaussianBlur(debris, (0, 0), 3)


def write_nuclei(folder: Path) -> None:
    """Write the folders of this file's docstring; `folder` is the first of them."""
    new, everything = (folder.with_name(f"{folder.name}_{end}") for end in ("new", "all"))
    for path in (folder, new, everything):
        if path.exists():
            sys.exit(f"{path} exists already: name another folder")
    places = {
        "images": folder / "images", "masks": folder / "masks", "all": everything / "masks",
        "new": new / "images", "truth": new / "truth",
    }  # fmt: skip
    for path in places.values():
        path.mkdir(parents=True)
    for i in range(IMAGES):
        image, numbers = draw_field(np.random.default_rng((0, i)), i >= MASKED and i % DIM_EVERY == 0)
        mask, name = np.uint8(255) * (numbers > 0), f"field_{i:02d}.png"
        cv2.imwrite(str(places["images"] / name), image)
        cv2.imwrite(str(places["all"] / name), mask)
        if i < MASKED:
            cv2.imwrite(str(places["masks"] / name), mask)
    for i in range(NEW):
        image, numbers = draw_field(np.random.default_rng((1, i)), i % DIM_EVERY == 0)
        cv2.imwrite(str(places["new"] / f"new_{i:02d}.png"), image)
        tifffile.imwrite(places["truth"] / f"new_{i:02d}.tif", numbers, compression="zlib")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("expected the folder to write, for example: python docs/tutorials/draw_nuclei.py nuclei")
    write_nuclei(Path(sys.argv[1]))
