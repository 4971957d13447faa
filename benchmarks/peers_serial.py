"""Labeling and augmentation image by image with OpenCV and NumPy, files between the stages or not."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import data


class Folder:
    """Images, and labels beside them, as PNG files in a temporary folder that goes with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="imjax-bench-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def write(self, name: str, image: np.ndarray, label: np.ndarray) -> None:
        """Save a pair; the image is RGB."""
        write_pair(self.path, name, image, label)

    def image(self, name: str) -> np.ndarray:
        """Uint8 RGB `[h, w, 3]`."""
        return cv2.cvtColor(cv2.imread(str(self.path / f"{name}_image.png")), cv2.COLOR_BGR2RGB)

    def label(self, name: str) -> np.ndarray:
        """Uint8 `[h, w]`."""
        return cv2.imread(str(self.path / f"{name}_label.png"), cv2.IMREAD_GRAYSCALE)


def write_pair(folder: Path, name: str, image: np.ndarray, label: np.ndarray) -> None:
    """`<name>_image.png` and `<name>_label.png`; the image is RGB."""
    cv2.imwrite(str(folder / f"{name}_image.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    cv2.imwrite(str(folder / f"{name}_label.png"), label)


class Pairs:
    """Pairs that are read from files and whose results are written to files; or both stay in memory."""

    def __init__(self, count: int, size: int, files: bool):
        images, labels = data.scenes(count, size)
        self._images, self._labels = images, labels
        self._in, self._out = (Folder(), Folder()) if files else (None, None)
        if files:
            for i in range(count):
                self._in.write(str(i), images[i], labels[i])

    def image(self, i: int) -> np.ndarray:
        """Uint8 `[h, w, 3]`."""
        return self._in.image(str(i)) if self._in else self._images[i]

    def label(self, i: int) -> np.ndarray:
        """Uint8 `[h, w]`."""
        return self._in.label(str(i)) if self._in else self._labels[i]

    def done(self, i: int, image: np.ndarray, label: np.ndarray) -> None:
        """Take a result."""
        if self._out:
            self._out.write(str(i), image, label)


def block(
    image: np.ndarray, labels: list[np.ndarray], erode: int = 0, dilate: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Image and consensus with the pixels on which nets disagree set to 0 (methods.md 1.3).

    Args:
        image: uint8 `[h, w, 3]`.
        labels: one per net, uint8 `[h, w]`.
        erode, dilate: sides of the squares for the mask; 0: off, as published.
    """
    inconsistent = np.any([other != labels[0] for other in labels[1:]], 0).astype(np.uint8)
    if erode:
        inconsistent = cv2.erode(inconsistent, np.ones((erode, erode), np.uint8))
    if dilate:
        inconsistent = cv2.dilate(inconsistent, np.ones((dilate, dilate), np.uint8))
    image, label = image.copy(), labels[0].copy()
    image[inconsistent == 1], label[inconsistent == 1] = 0, 0
    return image, label


class Labeling:
    """Each image read, shown to each net, blocked and written.

    Args:
        size: side of the images in pixels.
        how: `torch`, or how a Keras model is asked, see `peers_keras.StudentForward`.
        files: PNG in and out.
        images: how many there are.
        members: nets.
        alpha: their width.
    """

    def __init__(
        self,
        size: int,
        how: str = "predict",
        files: bool = True,
        images: int = 8,
        members: int = 2,
        alpha: float = 1.0,
    ):
        self._nets = _nets(how, members, size, alpha)
        self._count, self._pairs = images, Pairs(images, size, files)
        self.facts = {"images": images}

    def run(self, repeats: int) -> int:
        """Label all images so many times."""
        for i in list(range(self._count)) * repeats:
            image = self._pairs.image(i)
            self._pairs.done(i, *block(image, self._nets.labels(image)))
        return repeats * self._count


def _nets(how: str, members: int, size: int, alpha: float) -> Any:
    if how == "torch":
        from benchmarks import peers_torch

        return peers_torch.StudentForward(members, alpha)
    from benchmarks import peers_keras

    return peers_keras.StudentForward(members, size, alpha, how)


def augment(
    draw: np.random.Generator, image: np.ndarray, label: np.ndarray, strength: tuple
) -> tuple[np.ndarray, np.ndarray]:
    """One augmented copy with free rotation, in the order and with the ranges of methods.md 1.8.

    Args:
        draw: randomness.
        image: uint8 `[h, w, 3]`.
        label: uint8 `[h, w]`.
        strength: max_blur, max_noise, gain, offset.
    """
    max_blur, max_noise, gain, offset = strength
    for axis in (0, 1):
        if draw.random() < 0.5:
            image, label = cv2.flip(image, axis), cv2.flip(label, axis)
    turns = draw.integers(4)
    if turns:
        code = (cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE)[turns - 1]
        image, label = cv2.rotate(image, code), cv2.rotate(label, code)
    if draw.random() < 0.5:
        factor, shift = 1 + draw.uniform(-gain, gain), draw.uniform(-offset, offset)
        image = cv2.convertScaleAbs(image, alpha=factor, beta=shift)
    radius = int(draw.integers(max_blur + 1))
    if radius:
        image = cv2.GaussianBlur(image, (2 * radius + 1, 2 * radius + 1), 0)
    if max_noise:
        noise = draw.integers(-max_noise, max_noise, image.shape, np.int16)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image, label


class Augmenting:
    """One augmented copy of each pair, one after the other.

    Args:
        size: side of the images in pixels.
        files: PNG in and out.
        images: pairs.
        strength: max_blur, max_noise, gain, offset.
    """

    def __init__(self, size: int, files: bool, images: int = 64, strength: tuple = (3, 25, 0.5, 25.0)):
        self._count, self._pairs = images, Pairs(images, size, files)
        self._draw, self._strength = np.random.default_rng(0), tuple(strength)
        self.facts = {"images": images}

    def run(self, repeats: int) -> int:
        """Augment all pairs so many times."""
        for i in list(range(self._count)) * repeats:
            pair = self._pairs.image(i), self._pairs.label(i)
            self._pairs.done(i, *augment(self._draw, *pair, self._strength))
        return repeats * self._count
