"""Optimizer steps of a plan's stages, from the number of images alone: for `--plan` and the time left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imjax.data.splits import ImageCounts
from imjax.pipeline.stages import EvalNetStage, JointStage, LabelStage, PairsStage, Stage, TrainStage
from imjax.training.budget import longest_training_set, steps_per_epoch

COPIES = {"none": (0, 0), "one": (1, 1), "scored": (1, 5), "oracle": (1, 5)}
"""Fewest and most augmented copies of a pair, by `LabelStage.copies`."""


class StepRange(NamedTuple):
    """Fewest and most steps: how many pairs are kept, and how often copied, only the run knows."""

    fewest: int
    most: int


def count_steps(stage: Stage, stages: Sequence[Stage], counts: ImageCounts) -> StepRange:
    """Steps of an epoch of a training stage, over all its phases; 0 of other stages.

    Args:
        stage: one of the plan.
        stages: the plan.
        counts: images of the dataset.
    """
    if isinstance(stage, PairsStage | LabelStage):
        return StepRange(0, 0)
    by_name = {other.name: other for other in stages}
    floor, longest = 0, longest_training_set(counts)
    if isinstance(stage, TrainStage):
        floor = int(stage.least_share * (counts.labeled + counts.unlabeled))
    return StepRange(
        *(
            sum(steps_per_epoch(stage.train, images, floor, longest))
            for images in _phase_images(stage, by_name, counts)
        )
    )


def count_images(stage: Stage, stages: Sequence[Stage], counts: ImageCounts) -> int:
    """Images in all batches of all nets (or systems) of a training stage, about; 0 of other stages.

    Where only the run will know how many pairs there are, the middle between fewest and most.
    """
    return sum(count_image_range(stage, stages, counts)) // 2


def count_image_range(stage: Stage, stages: Sequence[Stage], counts: ImageCounts) -> tuple[int, int]:
    """Fewest and most images in all batches of all nets of a training stage; 0 of other stages."""
    if isinstance(stage, PairsStage | LabelStage):
        return 0, 0
    fewest, most = count_steps(stage, stages, counts)
    images = stage.num_nets * stage.train.batch_size * stage.train.epochs
    return images * fewest, images * most


def _phase_images(
    stage: TrainStage | JointStage | EvalNetStage, by_name: Mapping[str, Stage], counts: ImageCounts
) -> tuple[list[int], list[int]]:
    """Fewest and most images of each phase."""
    if isinstance(stage, JointStage):
        images = [max(counts)]
        return images, images
    if isinstance(stage, EvalNetStage):
        images = [_count_pairs(by_name[stage.pairs], by_name, counts)]
        return images, images
    start = {
        "ldt": counts.labeled,
        "aldt": counts.labeled * (1 + stage.aldt.copies),
        "fdt": counts.labeled + counts.unlabeled,
    }[stage.start]
    if stage.consistency:
        images = [start, counts.unlabeled]
        return images, images
    if not stage.pseudo:
        return [start], [start]
    label = by_name[stage.pseudo]
    assert isinstance(label, LabelStage)
    fewest, most = COPIES[label.copies] if stage.strength else (0, 0)
    fewest, most = fewest + stage.originals, most + stage.originals
    # EvalNets and the rule about classes drop pairs; how many, only the run knows.
    may_drop = label.keep_threshold is not None or stage.mask.require_same_classes
    least_kept = 0 if may_drop else counts.unlabeled
    return [start + fewest * least_kept], [start + most * counts.unlabeled]


def _count_pairs(stage: Stage, by_name: Mapping[str, Stage], counts: ImageCounts) -> int:
    """Training pairs of EvalNets."""
    assert isinstance(stage, PairsStage)
    if stage.of == "ensembles":
        return stage.pairs.epochs * counts.labeled
    trained = [by_name[name] for name in stage.nets]
    masks = sum(nets.num_nets for nets in trained if isinstance(nets, TrainStage))
    # Each candidate's masks, and the truth once.
    return (masks + 1) * counts.labeled
