"""Images that lie on both sides of a split, pixel for pixel."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from imjax.data.memory_map import release_pages

SIDES = {"val": ("labeled", "unlabeled"), "test": ("labeled", "unlabeled", "val")}
"""Split that measures → those that its images should not be in."""
NAMED = 3
"""Pairs that a line names."""

Copies = Mapping[str, Sequence[tuple[str, str]]]
"""`val`, `test` → image there, and the first image with the same pixels on the other side."""
Images = Mapping[str, tuple[Sequence[str], np.ndarray]]
"""Split → names and images `[n, ...]`."""


def find_copies(splits: Images) -> Copies:
    """Exact copies of images that measure among those that train or select.

    Images of one value throughout, such as the empty slices of volumes, are no copies of each other.
    """
    digests = {split: _digest_images(*images) for split, images in splits.items()}
    copies: dict[str, list[tuple[str, str]]] = {}
    for side, others in SIDES.items():
        first: dict[bytes, str] = {}
        for other in others:
            for digest, names in digests[other].items():
                first.setdefault(digest, f"{names[0]} ({other})")
        shared = [digest for digest in digests[side] if digest in first]
        copies[side] = [(name, first[digest]) for digest in shared for name in digests[side][digest]]
    return copies


def _digest_images(names: Sequence[str], images: np.ndarray) -> dict[bytes, list[str]]:
    """Digest of the pixels → names of the images that have them."""
    digests: dict[bytes, list[str]] = {}
    for number, (name, image) in enumerate(zip(names, images, strict=True)):
        if number % 256 == 0:
            release_pages(images)
        if image.min() != image.max():
            digests.setdefault(hashlib.blake2b(image.tobytes(), digest_size=16).digest(), []).append(name)
    return digests


def describe_copies(copies: Copies, counts: Mapping[str, int]) -> list[str]:
    """A line for each side that has copies, `counts` being the images of each split."""
    lines = []
    for side, pairs in copies.items():
        if pairs:
            named = ", ".join(f"{image} = {other}" for image, other in pairs[:NAMED])
            more = f" and {len(pairs) - NAMED} more" if len(pairs) > NAMED else ""
            others = "training" if side == "val" else "training or val"
            lines.append(
                f"{len(pairs)} of {counts[side]} {side} images are exact copies of {others} images, so that "
                f"{side} figures flatter: {named}{more}; keep one of each, or one side (splits.csv)"
            )
    return lines
