"""What is odd about a folder's masks and their split, though it is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from imjax.data.spec import VOID, DatasetSpec
from imjax.data.split_writer import label_names

GAP = 0.3
"""Between the foreground shares of two groups of masks, from which one may be the other inverted."""


def list_labels(label: np.ndarray, spec: DatasetSpec) -> frozenset[int]:
    """Labels in a mask but VOID, of multilabel the planes that are not empty."""
    if spec.kind == "multilabel":
        return frozenset(np.flatnonzero((label == 1).any((0, 1))).tolist())
    return frozenset(np.unique(label).tolist()) - {VOID}


def name_unlearned_classes(
    found: Mapping[str, frozenset[int]], split: Mapping[str, Sequence[str]], spec: DatasetSpec
) -> list[str]:
    """A line for each class that val or test shows and no labeled image.

    Args:
        found: labels (`list_labels`) of each image with a mask.
        split: images of each split.
    """
    seen = {part: set().union(*(found.get(name, ()) for name in members)) for part, members in split.items()}
    names = label_names(spec)
    lines = []
    for value in sorted((seen["val"] | seen["test"]) - seen["labeled"]):
        where = " and ".join(part for part in ("val", "test") if value in seen[part])
        lines.append(
            f"class {names[value]!r} is in {where} but in no labeled image, so that it cannot be learned; "
            "label an image with it, or change the split (splits.csv, data.split_seed)"
        )
    return lines


def name_inverted_masks(shares: Mapping[str, float]) -> list[str]:
    """A line where foreground shares fall into two groups that mirror each other.

    Args:
        shares: of the foreground in each mask, 0 to 1; of binary masks that have both.
    """
    low = {name: share for name, share in shares.items() if share < 0.5}
    high = {name: share for name, share in shares.items() if share >= 0.5}
    if min(len(low), len(high)) < max(2, 0.2 * len(shares)):
        return []
    lows, highs = list(low.values()), list(high.values())
    if min(highs) - max(lows) < GAP or abs(np.mean(lows) + np.mean(highs) - 1) > GAP / 2:
        return []
    fewer, more = sorted((low, high), key=len)
    return [
        f"foreground fills {_describe(lows)} of {len(low)} masks and {_describe(highs)} of {len(high)}, and "
        f"nothing in between: {_listed(fewer)} may be inverted against {_listed(more)}; compare them on the "
        "contact sheet"
    ]


def _describe(shares: Sequence[float]) -> str:
    return f"{100 * min(shares):.0f} to {100 * max(shares):.0f} %"


def _listed(names: Iterable[str]) -> str:
    first = list(names)
    return ", ".join(first[:3]) + (f" and {len(first) - 3} more" if len(first) > 3 else "")


def name_small_split(split: Mapping[str, Sequence[str]]) -> list[str]:
    """What a split with hardly any masks, or without unlabeled images, allows."""
    lines = []
    masks = sum(len(split[part]) for part in ("labeled", "val", "test"))
    if masks < 10:
        lines.append(
            f"{masks} masks in all, {len(split['test'])} of them in test: figures of so few are a matter of "
            "chance; train with folds, each time with other images in test (data.folds=5)"
        )
    if not split["unlabeled"]:
        spare = " or give data.label_fraction less than 1" if len(split["labeled"]) > 1 else ""
        lines.append(
            "no image without a mask: supervised methods (ldt, aldt) work, those that learn from unlabeled "
            f"images need some; add images{spare}"
        )
    return lines
