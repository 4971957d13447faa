"""What the contestants work on: the study's multiclass task, with images that are drawn on the spot."""

from __future__ import annotations

import functools

import numpy as np

from imjax.data.spec import DatasetSpec

OUTPUTS = 9
"""Of SUIM's nets, and of the nets whose parameters the study counts."""
MOMENTUM, EPSILON = 0.99, 1e-3
"""Of batch normalization (methods.md 1.4)."""
RATE, DECAY, ADAM_EPSILON = 0.003, 1e-4, 1e-7
"""Of AdamW; the decay is taken off the weights as it is (methods.md 1.5)."""


def spec() -> DatasetSpec:
    """A multiclass set with `OUTPUTS` classes, of which class 0 means inconsistent."""
    names = ("inconsistent", *(f"class {i}" for i in range(1, OUTPUTS)))
    colors = tuple((i, i, i) for i in range(OUTPUTS))
    return DatasetSpec(
        "bench", "Benchmark", "multiclass", names, colors, reserved=True, rotation_invariant=True
    )


def noise(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[n, size, size, 3]` and labels uint8 `[n, size, size]`, of which only shapes matter."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (count, size, size, 3), np.uint8)
    return images, draw.integers(1, OUTPUTS, (count, size, size), np.uint8)


@functools.lru_cache(maxsize=4)
def scenes(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The same as scenes of objects, where files are written: noise would be slow to compress."""
    from imjax.data.synthetic import scenes

    draw = np.random.default_rng(0)
    pairs = [scenes.draw_scene(draw, (size, size)) for _ in range(min(count, 32))]
    images, labels = (np.stack(part) for part in zip(*pairs, strict=True))
    chosen = np.arange(count) % len(pairs)
    return images[chosen], labels[chosen]
