"""What a method needs of the data, checked once they are packed.

Apart from `names`, which is asked before anything is read, and must not load the readers of all datasets.
"""

from __future__ import annotations

from imjax.config.schema import Config
from imjax.data.pack import PackedDataset
from imjax.data.spec import VOID, DatasetSpec
from imjax.errors import UserError
from imjax.methods.generational import inconsistency_masks
from imjax.methods.generational.registry import GENERATIONAL_METHODS


def check_spec(method: str, spec: DatasetSpec) -> None:
    """Make sure that a method can work with a dataset's labels.

    Raises:
        UserError: inconsistent pixels would need a class of their own, and the dataset has none.
    """
    if method in inconsistency_masks.GENERATIONAL_METHODS and spec.kind == "multiclass" and not spec.reserved:
        raise UserError(
            f"method {method!r} labels inconsistent pixels with class 0, which {spec.title} has for "
            f"{spec.classes[0]!r}; expected a method without them, e.g. noisy_student or cps, or "
            "cps with joint.weighting=inconsistency"
        )


def check_truth(config: Config, packed: PackedDataset) -> None:
    """Make sure that the packed images are what the run's methods learn from.

    Raises:
        UserError: no unlabeled image for a method that needs some, or one without a truth for a method that
            uses it.
    """
    method, unlabeled = config.method, packed.splits["unlabeled"]
    # In joint training the labeled images may stand in, without labels (`pipeline.joint_stage`).
    needs = method in GENERATIONAL_METHODS and (
        GENERATIONAL_METHODS[method].generations or GENERATIONAL_METHODS[method].consistency
    )
    if needs and not len(unlabeled.images):
        raise UserError(
            f"{packed.spec.title}: no unlabeled image for method {method!r}, expected at least one; add "
            "images without a mask or give data.label_fraction less than 1"
        )
    # Image by image, since the arrays are memory maps of any size.
    void = sum(bool((label == VOID).all()) for label in unlabeled.labels) if _sees_truth(config) else 0
    if void:
        raise UserError(
            f"{packed.spec.title}: {void} of {len(unlabeled.images)} unlabeled images have no mask, which "
            f"{' and '.join(_sees_truth(config))} would learn from; expected one each, take another method"
        )


def _sees_truth(config: Config) -> list[str]:
    """Methods of a run, baselines among them, that use the truth of unlabeled images."""
    recipes = {
        name: GENERATIONAL_METHODS[name]
        for name in (config.method, *config.baselines)
        if name in GENERATIONAL_METHODS
    }
    return [name for name, recipe in recipes.items() if recipe.start == "fdt" or recipe.copies == "oracle"]
