"""Pictures that the page shows: images for the eye, and small ones with what is drawn on them."""

from __future__ import annotations

import cv2
import numpy as np

from imjax.app.folder_store import FolderStore, unpack_planes
from imjax.data.preprocess import centered_placement, resize_image, resize_label
from imjax.data.spec import VOID

MOST_SIDE = 4096
"""Of an image as it is shown; masks keep the image's own size."""
THUMBNAIL = 176
STRENGTH = 0.5
"""Share of a class's color where it is painted on."""
INCONSISTENT = (255, 0, 200)
"""No class has it by default, and no stain is of it."""


def encode_png(image: np.ndarray) -> bytes:
    """uint8 RGB `[h, w, 3]` as PNG, quickly."""
    _, data = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return data.tobytes()


def encode_jpeg(image: np.ndarray) -> bytes:
    """uint8 RGB `[h, w, 3]` as JPEG."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    return data.tobytes()


def shrink(image: np.ndarray, side: int) -> np.ndarray:
    """The image with its longer side at most `side`."""
    height, width = centered_placement(image.shape[:2], (side, side))[2:]
    return image if (height, width) == image.shape[:2] else resize_image(image, (height, width))


def draw_thumbnail(
    store: FolderStore, image: np.ndarray, pixels: np.ndarray, inconsistency: np.ndarray | None
) -> np.ndarray:
    """A small image with a mask painted on, and where nets disagree.

    Args:
        image: uint8 `[h, w, 3]`; pixels: as of `PaintMask`, `[h, w]`; inconsistency: bool `[h, w]`.
    """
    small = shrink(image, THUMBNAIL)
    size = small.shape[:2]
    pixels = resize_label(pixels, (size[0], size[1]))
    out = small.astype(np.float32)
    for where, color in _class_places(store, pixels):
        out[where] = (1 - STRENGTH) * out[where] + STRENGTH * np.array(color, np.float32)
    if inconsistency is not None:
        where = resize_label(inconsistency.astype(np.uint8), (size[0], size[1])) == 1
        out[where] = (1 - STRENGTH) * out[where] + STRENGTH * np.array(INCONSISTENT, np.float32)
    return out.round().astype(np.uint8)


def _class_places(store: FolderStore, pixels: np.ndarray) -> list[tuple[np.ndarray, tuple[int, int, int]]]:
    if store.meaning.kind == "multilabel":
        planes = unpack_planes(pixels, len(store.classes))
        return [(planes[..., i] == 1, each.color) for i, each in enumerate(store.classes)]
    drawn = [each for each in store.classes if each.value != store.ground]
    return [(pixels == each.value, each.color) for each in drawn] + [(pixels == VOID, (255, 255, 255))]
