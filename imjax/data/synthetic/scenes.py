"""Procedural scenes for demos and tests: no files, any number, hard on purpose.

A class is a shape and a texture: ellipses differ by their texture, and boxes wear either, so that
neither cue decides alone. Colors of the classes overlap, ragged textured patches belong to the background,
objects hide each other, and light, scale, angle, blur and noise vary.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from imjax import rng
from imjax.data import palette
from imjax.data.readers.base import Sample
from imjax.data.spec import DatasetSpec

SPEC = DatasetSpec(
    name="synthetic",
    title="Synthetic scenes",
    kind="multiclass",
    classes=(
        "inconsistent",
        "background",
        "striped ellipse",
        "dotted ellipse",
        "box",
    ),
    palette=((255, 255, 255), palette.BACKGROUND, *palette.object_colors(3)),
    reserved=True,
    selection_metric="soft_miou",
    primary_metric="miou",
    source="this program (nothing to download)",
    layout="(no files)",
)

BACKGROUND = 1
OBJECTS = {
    2: ("ellipse", ("stripes",)),
    3: ("ellipse", ("dots",)),
    4: ("box", ("stripes", "dots", "blotches")),
}
"""Class: shape, possible textures."""


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """Reader of scenes that are drawn when loaded; counts are images per part."""

    train: int
    val: int
    test: int
    size: tuple[int, int] = (64, 64)
    seed: int = 0
    spec: DatasetSpec = SPEC

    def scan(self, raw: Path) -> dict[str, list[Sample]]:
        """See `raw.Reader`; `raw` is not used."""
        del raw
        counts = {"train": self.train, "val": self.val, "test": self.test}
        return {
            part: [Sample(name, name) for name in (f"{part}_{i:05d}" for i in range(count))]
            for part, count in counts.items()
        }

    def load(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Draw one scene, a function of seed, size and name: uint8 `[h, w, 3]` RGB, label uint8 `[h, w]`."""
        return draw_scene(rng.numpy(self.seed, "synthetic/" + sample.name), self.size)


def draw_scene(draw: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """One scene: image uint8 `[h, w, 3]` RGB, label uint8 `[h, w]` in 1..4."""
    canvas = _background(draw, size)
    label = np.full(size, BACKGROUND, np.uint8)
    for _ in range(draw.integers(2, 5)):
        kind = int(draw.choice(list(OBJECTS)))
        shape, textures = OBJECTS[kind]
        where, texture = _object(draw, size, shape, str(draw.choice(textures)))
        # A hint only: hues of different classes overlap, and a background has any hue.
        hue = 120.0 * kind + draw.normal(0, 30)
        canvas[where] = _paint(draw, texture, hue)[where]
        label[where] = kind
    return _photograph(draw, canvas), label


def _background(draw: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Clouds, half of them with a ragged textured blot as a distractor; float32 `[h, w, 3]`, about 0..255."""
    canvas = _paint(draw, _clouds(draw, size, cells=4), draw.uniform(0, 360), contrast=25.0)
    for _ in range(draw.integers(0, 2)):
        texture = _texture(draw, str(draw.choice(["stripes", "dots", "checker"])), *_turned(draw, size))
        blot = _clouds(draw, size, cells=4) + 0.5 * _clouds(draw, size, cells=16) > draw.uniform(0.9, 1.4)
        canvas[blot] = _paint(draw, texture, draw.uniform(0, 360), contrast=25.0)[blot]
    return canvas


def _object(
    draw: np.random.Generator, size: tuple[int, int], shape: str, texture: str
) -> tuple[np.ndarray, np.ndarray]:
    """Where the object is, bool `[h, w]`, and its texture, float `[h, w]` in about -1..1."""
    u, v = _turned(draw, size, center=draw.uniform(0.1, 0.9, 2))
    radius = draw.uniform(0.2, 0.34)
    x, y = u / radius, v / (radius * draw.uniform(0.6, 1.0))
    if shape == "ellipse":
        where = x**2 + y**2 < 1
    else:
        where = np.maximum(abs(x), abs(y)) < 0.87
    return where, _texture(draw, texture, *_turned(draw, size))


def _turned(
    draw: np.random.Generator, size: tuple[int, int], center: np.ndarray | tuple[float, float] = (0.5, 0.5)
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates around `center` at a random angle, two `[h, w]`, in units of the shorter side."""
    short, angle = min(size), draw.uniform(0, 2 * np.pi)
    y = (np.arange(size[0])[:, None] - center[0] * size[0]) / short
    x = (np.arange(size[1])[None, :] - center[1] * size[1]) / short
    return x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)


def _texture(draw: np.random.Generator, name: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    wave = 2 * np.pi / draw.uniform(0.09, 0.15)
    a, b = wave * u + draw.uniform(0, 6), wave * v + draw.uniform(0, 6)
    if name == "stripes":
        return np.sin(a)
    if name == "dots":
        return np.where(np.cos(a) + np.cos(b) > 0.6, 1.0, -0.6)
    if name == "checker":
        return np.sign(np.sin(a) * np.sin(b))
    return _clouds(draw, u.shape, cells=14)


def _clouds(draw: np.random.Generator, size: tuple[int, ...], cells: int) -> np.ndarray:
    """Smooth noise of unit variance at its nodes, float32 `[h, w]`."""
    nodes = draw.standard_normal((cells, cells), np.float32)
    return cv2.resize(nodes, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)


def _paint(
    draw: np.random.Generator, texture: np.ndarray, hue: float, contrast: float | None = None
) -> np.ndarray:
    """Color a texture; float32 `[h, w, 3]` around 0..255."""
    angles = np.deg2rad(hue + np.array([0, 120, 240]))
    base = draw.uniform(90, 165) + draw.uniform(40, 65) * np.cos(angles)
    accent = draw.uniform(0.4, 1.0, 3) * (draw.uniform(35, 70) if contrast is None else contrast)
    sign = draw.choice([-1, 1])
    return (base + sign * texture[..., None] * accent).astype(np.float32)


def _photograph(draw: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Uneven light, blur and sensor noise; uint8 `[h, w, 3]`."""
    u, _ = _turned(draw, canvas.shape[:2])
    lit = canvas * (draw.uniform(0.65, 1.2) + draw.uniform(0, 0.5) * u[..., None])
    sigma = draw.uniform(0.2, 0.9) * min(canvas.shape[:2]) / 64
    blurred = cv2.GaussianBlur(lit, (0, 0), sigma)
    noise = draw.standard_normal(canvas.shape, np.float32) * np.float32(draw.uniform(2, 8))
    return np.clip(blurred + noise, 0, 255).astype(np.uint8)
