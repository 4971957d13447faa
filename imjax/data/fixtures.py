"""Synthetic scenes written as another dataset's original download, to try its reader without it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from imjax import rng
from imjax.data import camvid, hela, suim, synthetic, synthetic_cells
from imjax.errors import UserError

# Target class of each synthetic class (index: synthetic class; 0 does not occur).
SUIM_CLASSES = np.array([0, 1, 2, 4, 7], np.uint8)
CAMVID_CLASSES = np.array([0, 2, 4, 9, 10], np.uint8)

HELA_SIZE = (320, 400)
"""Unless told: more than one of the set's crops, so that preparing cuts them."""


def write_synthetic(
    dataset: str, out: Path, counts: Mapping[str, int], seed: int = 0, size: tuple[int, int] | None = None
) -> None:
    """Write scenes in the original layout of `dataset` ("suim", "camvid" or "hela").

    Args:
        out: folder to make; its layout is the one `readers` expect of a download.
        counts: images by part: `train_val` and `test` (suim); `train`, `val` and `test` (the others).
        size: height and width of the files in pixels; unless given, (240, 320) or what suits the dataset.

    Raises:
        UserError: a dataset without such a writer, or a folder that is not empty.
    """
    writers = {"suim": (_suim, suim.PARTS), "camvid": (_camvid, camvid.PARTS), "hela": (_hela, hela.PARTS)}
    if dataset not in writers:
        raise UserError(f"synthetic data can be written as {' or '.join(writers)}, not as {dataset!r}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: expected a new or empty folder to write synthetic data to; name another")
    write, parts = writers[dataset]
    scene = synthetic_cells.scene if dataset == "hela" else synthetic.scene
    size = size or (HELA_SIZE if dataset == "hela" else (240, 320))
    for part in parts:
        names = [f"{part}_{i:05d}" for i in range(counts[part])]
        scenes = {name: scene(rng.numpy(seed, "fixture/" + name), size) for name in names}
        write(out, part, scenes)


def _suim(out: Path, part: str, scenes: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    colours = np.array(suim.SPEC.palette, np.uint8)
    for name, (image, label) in scenes.items():
        _write(out / suim.PARTS[part] / "images" / f"{name}.jpg", image)
        _write(out / suim.PARTS[part] / "masks" / f"{name}.bmp", colours[SUIM_CLASSES[label]])


def _camvid(out: Path, part: str, scenes: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    lines = []
    for name, (image, label) in scenes.items():
        # A frame of unlabelled pixels, as in the original.
        index = np.full_like(label, camvid.UNLABELLED)
        index[4:-4, 4:-4] = CAMVID_CLASSES[label][4:-4, 4:-4] - 1
        _write(out / part / f"{name}.png", image)
        _write(out / f"{part}annot" / f"{name}.png", index)
        lines.append(f"/SegNet/CamVid/{part}/{name}.png /SegNet/CamVid/{part}annot/{name}.png\n")
    (out / f"{part}.txt").write_text("".join(lines))


def _hela(out: Path, part: str, scenes: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    for name, (image, label) in scenes.items():
        maps = (image, *(np.moveaxis(label, -1, 0) * np.uint8(255)))
        for folder, array in zip(hela.FOLDERS, maps, strict=True):
            _write(out / hela.PARTS[part] / folder / f"{name}.png", array)


def _write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = array[..., ::-1] if array.ndim == 3 else array  # OpenCV writes BGR
    ok, data = cv2.imencode(
        path.suffix, stored, [cv2.IMWRITE_JPEG_QUALITY, 92] if path.suffix == ".jpg" else []
    )
    assert ok, path
    path.write_bytes(data.tobytes())
