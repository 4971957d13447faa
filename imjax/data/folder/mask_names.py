"""Which mask belongs to which image where names differ by a word, as in `car_01.jpg` and "
"`car_01_mask.png`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

LABEL_STUDIO = re.compile(r"task-\d+-annotation-\d+-.*")
"""Masks of Label Studio's brush export: named after a task and not after its image."""

_MASK_WORDS = (
    r"(cp_)?masks?|seg(m|mented|mentation)?s?|labels?|labelIds|labelTrainIds|gtFine|gt|(ground|manual)_?truth|truth|"
    r"ann(o|otation|otations)?|manual\d?|target|L|instances?"
)
_IMAGE_WORDS = r"images?|img|leftImg8bit|sat|photo|training|rgb"


def _strip(stem: str, words: str) -> str:
    """The stem without such words before and after it."""
    shorter = re.sub(rf"^(({words})[_\-. ])+|([_\-. ]({words}))+$", "", stem, flags=re.IGNORECASE)
    return shorter or stem


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
