"""The methods by name. A new one is a module with `RECIPES` and a line here."""

from __future__ import annotations

from imjax.methods.generational import (
    consistency,
    evalnet,
    inconsistency_masks,
    input_ensemble,
    model_ensemble,
    noisy_student,
    supervised,
)
from imjax.methods.generational.base import Recipe

RECIPES: dict[str, Recipe] = {
    **supervised.RECIPES,
    **model_ensemble.RECIPES,
    **input_ensemble.RECIPES,
    **consistency.RECIPES,
    **noisy_student.RECIPES,
    **evalnet.RECIPES,
    **inconsistency_masks.RECIPES,
}
