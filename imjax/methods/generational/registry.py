"""The methods by name. A new one is a module with `GENERATIONAL_METHODS` and a line here."""

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
from imjax.methods.generational.base import GenerationalMethod

GENERATIONAL_METHODS: dict[str, GenerationalMethod] = {
    **supervised.GENERATIONAL_METHODS,
    **model_ensemble.GENERATIONAL_METHODS,
    **input_ensemble.GENERATIONAL_METHODS,
    **consistency.GENERATIONAL_METHODS,
    **noisy_student.GENERATIONAL_METHODS,
    **evalnet.GENERATIONAL_METHODS,
    **inconsistency_masks.GENERATIONAL_METHODS,
}
