"""How methods, metrics and stages are called on the page."""

from __future__ import annotations

import re
from collections.abc import Iterable

METHODS = {
    "fdt": "FDT",
    "ldt": "LDT",
    "aldt": "ALDT",
    "model_ensemble": "Model Ensemble",
    "input_ensemble": "Input Ensemble",
    "consistency": "Consistency Loss",
    "noisy_student": "Noisy Student",
    "evalnet": "EvalNet",
    "im": "IM",
    "im_p": "IM+",
    "aim_p": "AIM+",
    "im_pp": "IM++",
    "aim_pp": "AIM++",
    "gt_im_pp": "GT-IM++ (oracle)",
}

JOINT_METHODS = {
    "supervised": "Supervised",
    "mean_teacher": "Mean Teacher",
    "fixmatch": "FixMatch",
    "unimatch": "UniMatch",
    "cct": "CCT",
    "rdrop": "R-Drop",
    "cps": "CPS",
    "simeps": "simEps",
}

WEIGHTINGS = {"": "", "_inconsistency": " + inconsistency mask", "_csl": " + CSL", "_metassl": " + MetaSSL"}

# Joint methods alone and with each weighting of pixels, net by net and whole systems.
METHODS |= {
    host + weighting + whole: JOINT_METHODS[host] + WEIGHTINGS[weighting] + (", ensemble" if whole else "")
    for host in JOINT_METHODS
    for weighting in WEIGHTINGS
    for whole in ("", "_ensemble")
}
"""In the order of the page."""

ORACLES = frozenset({"gt_im_pp"})
"""Methods that see the truth of the unlabeled images: bounds, and never the best of all."""

METRICS = {
    "iou": "IoU",
    "dice": "Dice",
    "miou": "mIoU",
    "mpa": "mPA",
    "miou_ad": "mIoU alive/dead",
    "mcce": "cell count error",
    "miou_dataset": "mIoU, dataset",
    "iou_dataset": "IoU, dataset",
    "dice_dataset": "Dice, dataset",
    "hard_iou": "IoU per batch",
    "hard_miou": "mIoU per batch",
    "soft_iou": "soft IoU",
    "soft_miou": "soft mIoU",
    "hd95": "HD95",
    "assd": "ASSD",
}

DESCENDING = frozenset({"mcce", "hd95", "assd", "loss", "mae"})
"""Metrics where less is better."""


def variant(name: str, label: str) -> str:
    """Name of a method with settings that tell it from others of that name: `im (members 3)`."""
    return f"{name} ({label})"


def base(name: str) -> str:
    """Name of a method without the settings that tell it from others."""
    return name.partition(" (")[0]


def position(name: str) -> int:
    """Place of a method in the order of the page; unknown ones come last."""
    return list(METHODS).index(base(name)) if base(name) in METHODS else len(METHODS)


def method(name: str) -> str:
    """Title of a method."""
    return METHODS.get(base(name), base(name)) + name.removeprefix(base(name))


def metric(name: str) -> str:
    """Title of a metric."""
    return METRICS.get(name, name)


def entry(name: str, generation: int | None) -> str:
    """Title of a method at a generation."""
    return method(name) if generation is None else f"{method(name)}, gen. {generation}"


def seeds(numbers: Iterable[int]) -> str:
    """`seed 0` or `seeds 0, 1, 2`."""
    texts = [str(number) for number in sorted(set(numbers))]
    return ("seed " if len(texts) == 1 else "seeds ") + ", ".join(texts)


def stage(name: str) -> str:
    """Title of a stage: `train_g0` → `Generation 0, training`."""
    kinds = {
        "train": "training",
        "label": "labeling",
        "pairs": "EvalNet, pairs",
        "evalnet": "EvalNet, training",
    }
    if match := re.fullmatch(rf"({'|'.join(kinds)})_g(\d+)", name):
        return f"Generation {match[2]}, {kinds[match[1]]}"
    if name.startswith("train_"):
        return f"{method(name.removeprefix('train_'))}, training"
    return kinds.get(name, name)
