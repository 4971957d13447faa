"""What a method needs of the data, checked once they are packed.

Apart from `names`, which is asked before anything is read, and must not load the readers of all datasets.
"""

from __future__ import annotations

from imjax.config.schema import Config
from imjax.data.pack import Packed
from imjax.data.spec import VOID, DatasetSpec
from imjax.errors import UserError
from imjax.methods.generational import inconsistency_masks
from imjax.methods.generational.registry import RECIPES


def check_spec(method: str, spec: DatasetSpec) -> None:
    """Make sure that a method can work with a dataset's labels.

    Raises:
        UserError: inconsistent pixels would need a class of their own, and the dataset has none.
    """
    if method in inconsistency_masks.RECIPES and spec.kind == "multiclass" and not spec.reserved:
        raise UserError(
            f"method {method!r} labels inconsistent pixels with class 0, which {spec.title} has for "
            f"{spec.classes[0]!r}; expected a method without them, e.g. noisy_student or cps, or "
            "cps with joint.weighting=inconsistency"
        )


def check_truth(config: Config, packed: Packed) -> None:
    """Make sure that the packed images are what the run's methods learn from.

    Raises:
        UserError: no unlabelled image for a method that needs some, or one without a truth for a method that
            uses it.
    """
    method, unlabelled = config.method, packed.splits["unlabelled"]
    # In joint training the labelled images may stand in, without labels (`pipeline.joint_stage`).
    needs = method in RECIPES and (RECIPES[method].generations or RECIPES[method].consistency)
    if needs and not len(unlabelled.images):
        raise UserError(
            f"{packed.spec.title}: no unlabelled image for method {method!r}, expected at least one; add "
            "images without a mask or give data.label_fraction less than 1"
        )
    # Image by image, since the arrays are memory maps of any size.
    void = sum(bool((label == VOID).all()) for label in unlabelled.labels) if _sees_truth(config) else 0
    if void:
        raise UserError(
            f"{packed.spec.title}: {void} of {len(unlabelled.images)} unlabelled images have no mask, which "
            f"{' and '.join(_sees_truth(config))} would learn from; expected one each, take another method"
        )


def _sees_truth(config: Config) -> list[str]:
    """Methods of a run, baselines among them, that use the truth of unlabelled images."""
    recipes = {name: RECIPES[name] for name in (config.method, *config.baselines) if name in RECIPES}
    return [name for name, recipe in recipes.items() if recipe.start == "fdt" or recipe.copies == "oracle"]
