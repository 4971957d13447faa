"""From an image of any size to inputs of the nets' size, and from what nets predict for them back to one map.

An image goes to the nets as a whole, resized as for training, or as tiles of the training size. Tiles overlap
and are blended; each may be shown in several symmetric views. A *canvas* is the image at the size at which
the nets see it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from imjax.data import intensity, preprocess
from imjax.data.spec import DatasetSpec
from imjax.errors import ErrorCode, UserError

MAX_SCALE = 64
"""Of images before they are cut: a pixel that is larger than a tile would show nothing."""
MAX_PIXELS = 1 << 30
"""Of an image once it is scaled; as many as a file may have."""

Size = tuple[int, int]
"""Height and width in pixels."""


class Symmetry(NamedTuple):
    """Quarter turns counter-clockwise, then perhaps left and right swapped."""

    turns: int
    mirrored: bool

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Move an array `[h, w, ...]`."""
        x = np.rot90(x, self.turns)
        return x[:, ::-1] if self.mirrored else x

    def invert(self, x: np.ndarray) -> np.ndarray:
        """Take `apply` back on `[member, h, w, ...]`."""
        x = x[:, :, ::-1] if self.mirrored else x
        return np.rot90(x, -self.turns, (1, 2))


IDENTITY = (Symmetry(0, False),)


def symmetries(spec: DatasetSpec, size: Size) -> tuple[Symmetry, ...]:
    """The views that training showed its nets, all equally often (methods.md 1.8).

    The image and its mirror image; where up and down do not matter, all eight of a square, or the four that
    keep the sides of an oblong.
    """
    turns: tuple[int, ...] = (0,)
    if spec.rotation_invariant:
        turns = (0, 1, 2, 3) if size[0] == size[1] else (0, 2)
    return tuple(Symmetry(turn, mirrored) for turn in turns for mirrored in (False, True))


@dataclasses.dataclass(frozen=True)
class Tiler:
    """How images become inputs of the nets."""

    size: Size
    """Of the nets' inputs."""
    symmetries: tuple[Symmetry, ...] = IDENTITY
    tile: bool = False
    """Tiles of `size`; else the whole image, resized to it."""
    overlap: float = 0.25
    """Share of its side that a tile has in common with the next, 0 <= overlap < 1."""
    scale: float = 1.0
    """Factor by which the sides of an image are multiplied before it is cut into tiles, > 0."""
    stretch: bool = False
    """Bring the image's gray levels to one range first, see `intensity.percentile_normalize`."""
    pad: bool = False
    """Put a whole image into the middle of `size` as `preprocess.pad_image` does; not for tiles."""

    image_resize: str = "area"
    """How an image comes to its canvas, see `DatasetSpec.image_resize`."""

    @property
    def is_padded(self) -> bool:
        """Whether the image is put into the middle of `size`."""
        return self.pad and not self.tile

    def resized_size(self, shape: Size) -> Size:
        """Size at which the nets see an image of this height and width."""
        if self.is_padded:
            return preprocess.centered_placement(shape, self.size)[2:]
        if not self.tile:
            return self.size
        height, width = (max(1, round(side * self.scale)) for side in shape)
        if height * width > MAX_PIXELS:
            raise UserError(
                f"scale={self.scale:g} makes {width}x{height} (w x h) of {shape[1]}x{shape[0]} pixels; "
                f"expected at most {MAX_PIXELS} pixels, take a smaller scale",
                code=ErrorCode.OUT_OF_RANGE,
                field="scale",
            )
        return height, width

    def tile_corners(self, shape: Size) -> list[tuple[int, int]]:
        """Top row and left column of each piece of such an image, on its canvas, row by row."""
        tops, lefts = (
            preprocess.window_starts(max(length, side), side, self.overlap)
            for length, side in zip(self.resized_size(shape), self.size, strict=True)
        )
        return [(top, left) for top in tops for left in lefts]

    def tiles(self, image: np.ndarray) -> Iterator[np.ndarray]:
        """Inputs of the nets, uint8 `[*size, c]`: for each corner its symmetric views.

        A canvas that is smaller than a tile is continued by its reflection at the bottom and on the right.

        Args:
            image: uint8 `[h, w, c]`.
        """
        height, width = self.size
        if self.stretch:
            image = intensity.percentile_normalize(image)
        if self.is_padded:
            shown = preprocess.pad_image(image, self.size, self.image_resize)
        else:
            shown = preprocess.resize_image(image, self.resized_size(image.shape[:2]), self.image_resize)
        margin = [(0, max(side - length, 0)) for side, length in zip(self.size, shown.shape, strict=False)]
        shown = np.pad(shown, [*margin, (0, 0)], "reflect")
        for top, left in self.tile_corners(image.shape[:2]):
            for symmetry in self.symmetries:
                yield symmetry.apply(shown[top : top + height, left : left + width])

    def stitch(self, shape: Size, probabilities: Iterator[np.ndarray]) -> np.ndarray:
        """One map of what nets predict for an image's tiles.

        Mean over views; tiles are blended by `blending_weights`.

        Args:
            shape: of the image.
            probabilities: float32 `[member, *size, k]` for each of `tiles`, in their
                order; no more are taken.

        Returns:
            float32 `[member, *canvas, k]`.
        """
        if self.is_padded:
            top, left, height, width = preprocess.centered_placement(shape, self.size)
            return self._mean_of_views(probabilities)[:, top : top + height, left : left + width]
        canvas = self.resized_size(shape)
        parts = ((corner, self._mean_of_views(probabilities)) for corner in self.tile_corners(shape))
        if canvas == self.size:
            return next(parts)[1]
        weight = blending_weights(self.size)[:, :, None]
        total = share = None
        for (top, left), part in parts:
            if total is None or share is None:
                padded = [max(pair) for pair in zip(canvas, self.size, strict=True)]
                total = np.zeros((len(part), *padded, part.shape[-1]), np.float32)
                share = np.zeros((*padded, 1), np.float32)
            area = np.s_[top : top + self.size[0], left : left + self.size[1]]
            total[:, *area] += weight * part
            share[area] += weight
        assert total is not None and share is not None, "an image has one piece at least"
        total /= share
        return total[:, : canvas[0], : canvas[1]]

    def _mean_of_views(self, probabilities: Iterator[np.ndarray]) -> np.ndarray:
        views = [symmetry.invert(next(probabilities)) for symmetry in self.symmetries]
        return sum(views[1:], views[0]) / np.float32(len(views))


def blending_weights(size: Size) -> np.ndarray:
    """Weights of a tile's pixels, float32 `[*size]`: 1 in the middle, linear to half a pixel's at the rim.

    A net sees least of the surroundings of pixels at the rim. No weight is 0, so that the image's own rim,
    which a single tile may cover, has a value.
    """
    ramps = (np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / (n / 2) for n in size)
    return np.outer(*ramps).astype(np.float32)
