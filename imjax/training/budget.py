"""Optimizer steps of a net: the published rule, or the same number for every net (methods.md 1.13)."""

from __future__ import annotations

from collections.abc import Sequence

from imjax.config.schema import Train
from imjax.data.splits import ImageCounts


def longest_training_set(counts: ImageCounts) -> int:
    """Images of the largest training set of the Inconsistency Masks paper: AIM++, five copies of each pair.

    Ten times the labeled images (ALDT's set), and six times the unlabeled ones: each pair and its copies.
    """
    return 10 * counts.labeled + 6 * counts.unlabeled


def steps_per_epoch(
    options: Train, images: Sequence[int], least_images: int = 0, longest: int = 0
) -> tuple[int, ...]:
    """Steps of each phase of an epoch.

    Args:
        options: `steps_per_epoch` steps in all, divided in proportion to the phases' images; 0: by `budget`.
            `published`: ⌊images / batch⌋, of several phases (the consistency loss) ⌈images / batch⌉;
            `equal`: ⌊longest / batch⌋ in all, divided likewise.
        images: number of images of each phase's training set.
        least_images: a phase is treated as having at least this many images.
        longest: `longest_training_set`; needed with `equal`.

    Returns:
        One number per phase, each at least 1.
    """
    sizes = [max(count, least_images) for count in images]
    steps = options.steps_per_epoch
    if not steps and options.budget == "equal":
        steps = longest // options.batch_size
    if not steps:
        # Rounded up where there are several phases: the published consistency loss runs its last batch, too.
        more = options.batch_size - 1 if len(sizes) > 1 else 0
        return tuple(max(1, (size + more) // options.batch_size) for size in sizes)
    shares = [max(1, round(steps * size / sum(sizes))) for size in sizes[:-1]]
    # The last phase gets the remainder, so that the sum is exact whatever was rounded.
    return (*shares, max(1, steps - sum(shares)))
