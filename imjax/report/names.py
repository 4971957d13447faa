"""Titles of methods, metrics and stages on the page."""

from __future__ import annotations

import re
from collections.abc import Iterable

from imjax.evaluation import result_names
from imjax.evaluation.result_names import ENSEMBLE

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

GENERATIONAL_METHODS = frozenset(METHODS)
"""Methods whose ensembles are a column of the results; those of joint methods are rows of their own."""

JOINT_METHODS = {
    "supervised": "Supervised",
    "mean_teacher": "Mean Teacher",
    "fixmatch": "FixMatch",
    "unimatch": "UniMatch",
    "cct": "CCT",
    "rdrop": "R-Drop",
    "cps": "CPS",
    "simeps": "simEps",
    "ua_mt": "UA-MT",
    "ict": "ICT",
    "urpc": "URPC",
    "uaps": "UAPS",
}

WEIGHTINGS = {"": "", "_inconsistency": " + inconsistency mask", "_csl": " + CSL", "_metassl": " + MetaSSL"}

# Joint methods with each pixel weighting, as single nets and as the ensemble of their nets.
METHODS |= {
    method + weighting + suffix: title + WEIGHTINGS[weighting] + (", ensemble" if suffix else "")
    for method, title in JOINT_METHODS.items()
    for weighting in WEIGHTINGS
    for suffix in ("", ENSEMBLE)
}
"""In the order of the page."""

ORACLES = frozenset({"gt_im_pp"})
"""Methods that see the ground truth of the unlabeled images: upper bounds, never named the best method."""

METRICS = {
    "iou": "IoU",
    "dice": "Dice",
    "iou_nonempty": "IoU, images with objects",
    "dice_nonempty": "Dice, images with objects",
    "miou_nonempty": "mIoU, images with objects",
    "dice_smooth": "Dice of the paper (smoothing term 1)",
    "miou": "mIoU",
    "mpa": "mPA",
    "miou_ad": "mIoU alive/dead",
    "mcce": "cell count error",
    "object_f1": "object F1",
    "count_error": "object count error",
    "miou_dataset": "mIoU, dataset",
    "iou_dataset": "IoU, dataset",
    "dice_dataset": "Dice, dataset",
    "hard_iou": "IoU per batch (smoothing term 1)",
    "hard_miou": "mIoU per batch",
    "soft_iou": "soft IoU (smoothing term 1)",
    "soft_miou": "soft mIoU",
    "hd95": "HD95",
    "assd": "ASSD",
}

DESCENDING = frozenset({"mcce", "count_error", "hd95", "assd", "loss", "mae"})
"""Metrics where lower is better."""


def variant_name(name: str, settings: str) -> str:
    """Name of a method together with the settings that distinguish it: `im (members 3)`."""
    return f"{name} ({settings})"


def base_name(name: str) -> str:
    """Name of a method without distinguishing settings."""
    return name.partition(" (")[0]


def find_single(name: str) -> str | None:
    """Name of the generational method whose nets an ensemble's name is of; None for any other name."""
    base = base_name(name)
    single = result_names.find_single(base, GENERATIONAL_METHODS)
    return None if single is None else single + name.removeprefix(base)


def method_order(name: str) -> int:
    """Position of a method on the page; unknown ones come last."""
    return list(METHODS).index(base_name(name)) if base_name(name) in METHODS else len(METHODS)


def method_title(name: str) -> str:
    """Title of a method."""
    return METHODS.get(base_name(name), base_name(name)) + name.removeprefix(base_name(name))


def metric_title(name: str) -> str:
    """Title of a metric."""
    return METRICS.get(name, name)


def entry_title(name: str, generation: int | None) -> str:
    """Title of a method at a generation."""
    return method_title(name) if generation is None else f"{method_title(name)}, gen. {generation}"


def format_seeds(numbers: Iterable[int]) -> str:
    """`seed 0` or `seeds 0, 1, 2`."""
    texts = [str(number) for number in sorted(set(numbers))]
    return ("seed " if len(texts) == 1 else "seeds ") + ", ".join(texts)


def stage_title(name: str) -> str:
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
        return f"{method_title(name.removeprefix('train_'))}, training"
    return kinds.get(name, name)


def run_title(method: str, dataset_title: str, seed: int) -> str:
    """`IM++ on SUIM, seed 0`."""
    return f"{method_title(method)} on {dataset_title}, seed {seed}"
