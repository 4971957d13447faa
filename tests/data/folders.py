"""Small folders of one's own, written by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SIZE = (24, 32)


def write(path: Path, array: np.ndarray) -> Path:
    """Write an image or mask; RGB(A) as arrays have it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = array[..., [2, 1, 0, *range(3, array.shape[2])]] if array.ndim == 3 else array
    assert cv2.imwrite(str(path), stored)
    return path


def values(*found: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A mask uint8 with these values in columns of the same width."""
    columns = np.arange(size[1]) * len(found) // size[1]
    return np.broadcast_to(np.array(found, np.uint8)[columns], size).copy()


def folder(raw: Path, masks: dict[str, np.ndarray], bare: int = 2, ending: str = ".png") -> Path:
    """Images for masks, `{stem: mask}`, and some without; masks of several labels by `label/stem`."""
    stems = sorted({name.rpartition("/")[2] for name in masks})
    for i, stem in enumerate([*stems, *(f"bare{i}" for i in range(bare))]):
        shape = next((m.shape[:2] for name, m in masks.items() if name.endswith(stem)), SIZE)
        image = np.random.default_rng(i).integers(0, 256, (*shape, 3), dtype=np.uint8)
        write(raw / "images" / f"{stem}.png", image)
    for name, mask in masks.items():
        write(raw / "masks" / f"{name}{ending}", mask)
    return raw
