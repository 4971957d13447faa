"""Which mask belongs to which image where names differ by a word: `car_01.jpg` and `car_01_mask.png`."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

LABEL_STUDIO = re.compile(r"task-\d+-annotation-\d+-.*")
"""Masks of Label Studio's brush export: named after a task and not after its image."""

_MASK_WORDS = (
    r"(cp_)?masks?|seg(m|mented|mentation)?s?|labels?|labelIds|labelTrainIds|gtFine|gt|(ground|manual)_?truth|truth|"
    r"ann(o|otation|otations)?|manual\d?|target|L|instances?"
)
_DRAWN_WORDS = (
    r"(cp_)?masks?|seg(mentation)?|labels?|labelIds|labelTrainIds|gtFine|gt|ground_?truth|instances?"
)
"""Those of them after which a file beside its image is a mask and no image."""
_IMAGE_WORDS = r"images?|img|leftImg8bit|sat|photo|training|rgb"


def _strip(stem: str, words: str) -> str:
    """The stem without such words before and after it, as file systems that ignore case compare names."""
    # Some systems store an accent as a sign of its own; OME-TIFF has two endings.
    stem = unicodedata.normalize("NFC", stem).removesuffix(".ome")
    shorter = re.sub(rf"^(({words})[_\-. ])+|([_\-. ]({words}))+$", "", stem, flags=re.IGNORECASE)
    return (shorter or stem).casefold()


def find_masks_among_images(images: Iterable[str]) -> list[str]:
    """Stems of images that are another one's stem and a word such as `_cp_masks`."""
    images = sorted(images)
    keys = {unicodedata.normalize("NFC", stem).casefold() for stem in images}
    return [
        stem
        for stem in images
        if re.search(rf"[_\-. ]({_DRAWN_WORDS})$", stem, flags=re.IGNORECASE)
        and _strip(stem, _DRAWN_WORDS) in keys - {unicodedata.normalize("NFC", stem).casefold()}
    ]


def split_side_by_side(stems: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Of files in one folder: stems of images, and stem of a mask → stem of its image.

    Without any mask the folder is none of images and masks side by side. Other pictures of an image that
    Cellpose saves there, such as `a_flows`, are neither.
    """
    stems = sorted(stems)
    named = [stem for stem in stems if re.search(rf"[_\-. ]({_DRAWN_WORDS})$", stem, flags=re.IGNORECASE)]
    others = [stem for stem in stems if stem not in named]
    by_products = re.compile(r"(.+)_(flows?|dP|(cp_)?(outlines?|output))", flags=re.IGNORECASE)
    images = [stem for stem in others if not ((match := by_products.fullmatch(stem)) and match[1] in others)]
    return images, pair_names(images, named)


def pair_names(images: Iterable[str], masks: Iterable[str]) -> dict[str, str]:
    """Stem of a mask → stem of its image.

    Equal stems are a pair. Of the others, words such as `mask` and `image` do not count, where exactly one
    image and one mask remain alike.
    """
    images, masks = set(images), set(masks)
    pairs = {stem: stem for stem in images & masks}
    images_by_key, masks_by_key = defaultdict(list), defaultdict(list)
    for stem in images - masks:
        images_by_key[_strip(stem, _IMAGE_WORDS)].append(stem)
    for stem in masks - images:
        masks_by_key[_strip(stem, _MASK_WORDS)].append(stem)
    for key, stems in masks_by_key.items():
        if len(stems) == 1 and len(images_by_key[key]) == 1:
            pairs[stems[0]] = images_by_key[key][0]
    return pairs
