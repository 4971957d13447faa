"""Checks of the packed data against the needs of the run's methods.

Apart from `validate`, which runs before anything is read and must not import the readers of all datasets.
"""

from __future__ import annotations

from imjax.config.schema import Config
from imjax.data.pack import PackedDataset
from imjax.data.spec import VOID, DatasetSpec
from imjax.errors import ErrorCode, UserError
from imjax.methods.generational import inconsistency_masks
from imjax.methods.registry import GENERATIONAL_METHODS


def check_spec(config: Config, spec: DatasetSpec) -> None:
    """Check that the run's method supports a dataset's labels.

    Raises:
        UserError: inconsistent pixels would need a class of their own, and the dataset has none.
    """
    method = config.method
    # Void pixels have no class.
    needs_class = method in inconsistency_masks.METHODS and config.mask.label_value != "void"
    if needs_class and spec.kind == "multiclass" and not spec.reserved:
        raise UserError(
            f"method {method!r} labels inconsistent pixels with class 0, which {spec.title} has for "
            f"{spec.classes[0]!r}; expected mask.label_value=void, by which the loss ignores these pixels, "
            "or a method without them, e.g. noisy_student or cps",
            code=ErrorCode.UNSUPPORTED,
            field="mask.label_value",
        )


def check_truth(config: Config, packed: PackedDataset) -> None:
    """Check that the packed images have what the run's methods need.

    Raises:
        UserError: no unlabeled image for a method that needs some, or one without ground truth for a method
            that uses it.
    """
    method, unlabeled = config.method, packed.splits["unlabeled"]
    # In joint training the labeled images may be used as unlabeled ones (`pipeline.joint_stage`).
    needs = method in GENERATIONAL_METHODS and (
        GENERATIONAL_METHODS[method].generations or GENERATIONAL_METHODS[method].consistency
    )
    if needs and not len(unlabeled.images):
        raise UserError(
            f"{packed.spec.title}: no unlabeled image for method {method!r}, expected at least one; add "
            f"images without a mask, {_other_way(len(packed.splits['labeled'].images))}",
            code=ErrorCode.TOO_FEW,
            field="data.label_fraction",
        )
    users = _methods_with_truth(config)
    # Image by image, since the arrays are memory maps of any size.
    void = sum(bool((label == VOID).all()) for label in unlabeled.labels) if users else 0
    if void:
        raise UserError(
            f"{packed.spec.title}: {void} of {len(unlabeled.images)} unlabeled images have no mask, which "
            f"{' and '.join(users)} would learn from; expected one each, take another method",
            code=ErrorCode.CONFLICT,
            field="method",
        )


def _other_way(labeled: int) -> str:
    """What else there is to do where all images are labeled."""
    supervised = "take a method that needs none (ldt, aldt)"
    # Of one labeled image none can be spared.
    return supervised if labeled < 2 else f"give data.label_fraction less than 1, or {supervised}"


def _methods_with_truth(config: Config) -> list[str]:
    """Methods of a run, baselines among them, that use the ground truth of unlabeled images."""
    methods = {
        name: GENERATIONAL_METHODS[name]
        for name in (config.method, *config.baselines)
        if name in GENERATIONAL_METHODS
    }
    return [name for name, method in methods.items() if method.start == "fdt" or method.copies == "oracle"]
