"""The generational methods of the Inconsistency Masks study as switches (method.md 1.2).

IM, IM+, AIM+, IM++ and AIM++ are one recipe: what labels the first generation, which copies of each
blocked pair enter the training set, and whether nets and augmentation grow.
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import Literal

from imjax.errors import UserError

Start = Literal["ldt", "aldt", "fdt"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One method."""

    start: Start
    """Training set of the nets that label generation 0, and of every generation beside the pseudo-labels."""
    generations: bool = True
    """Whether anything follows the start."""
    originals: bool = True
    """Blocked pairs enter as they are."""
    copies: Literal["none", "one", "scored"] = "none"
    """Augmented copies of each blocked pair: none, one, or as many as EvalNet's score says."""
    grows: bool = False
    """Nets widen and augmentation strengthens with the generation."""


RECIPES: dict[str, Recipe] = {
    "fdt": Recipe("fdt", generations=False),
    "ldt": Recipe("ldt", generations=False),
    "aldt": Recipe("aldt", generations=False),
    "im": Recipe("ldt"),
    "im_p": Recipe("ldt", originals=False, copies="one", grows=True),
    "aim_p": Recipe("aldt", copies="one", grows=True),
    "im_pp": Recipe("ldt", originals=False, copies="scored", grows=True),
    "aim_pp": Recipe("aldt", copies="scored", grows=True),
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
