"""The methods by name. A new one is a module with `RECIPES` and a line here."""

from __future__ import annotations

import difflib

from imjax.errors import UserError
from imjax.methods import (
    consistency,
    evalnet,
    inconsistency_masks,
    input_ensemble,
    model_ensemble,
    noisy_student,
    supervised,
)
from imjax.methods.base import Recipe

RECIPES: dict[str, Recipe] = {
    **supervised.RECIPES,
    **model_ensemble.RECIPES,
    **input_ensemble.RECIPES,
    **consistency.RECIPES,
    **noisy_student.RECIPES,
    **evalnet.RECIPES,
    **inconsistency_masks.RECIPES,
}


def recipe(name: str) -> Recipe:
    """The recipe of a method.

    Raises:
        UserError: no such method; names the nearest ones.
    """
    if name not in RECIPES:
        close = difflib.get_close_matches(name, RECIPES, n=3, cutoff=0.4) or list(RECIPES)
        raise UserError(f"config key 'method' is {name!r}; did you mean {' or '.join(close)}?")
    return RECIPES[name]
