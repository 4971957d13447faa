"""All methods by name. A new method is a module with `METHODS` and its entry here."""

from __future__ import annotations

from imjax.methods.generational import (
    baselines,
    consistency,
    evalnet,
    inconsistency_masks,
    input_ensemble,
    model_ensemble,
    noisy_student,
)
from imjax.methods.generational.base import GenerationalMethod
from imjax.methods.joint import (
    cct,
    cps,
    fixmatch,
    ict,
    mean_teacher,
    rdrop,
    simeps,
    supervised,
    ua_mt,
    uaps,
    unimatch,
    urpc,
)
from imjax.methods.joint.base import JointMethod

GENERATIONAL_METHODS: dict[str, GenerationalMethod] = {
    **baselines.METHODS,
    **model_ensemble.METHODS,
    **input_ensemble.METHODS,
    **consistency.METHODS,
    **noisy_student.METHODS,
    **evalnet.METHODS,
    **inconsistency_masks.METHODS,
}
"""Methods that train, label all unlabeled images, and train anew (arXiv 2401.14387)."""

JOINT_METHODS: dict[str, JointMethod] = {
    **supervised.METHODS,
    **mean_teacher.METHODS,
    **fixmatch.METHODS,
    **unimatch.METHODS,
    **cct.METHODS,
    **rdrop.METHODS,
    **cps.METHODS,
    **simeps.METHODS,
    **ua_mt.METHODS,
    **ict.METHODS,
    **urpc.METHODS,
    **uaps.METHODS,
}
"""Methods whose batches hold labeled and unlabeled images."""
