"""The joint-training methods by name. A new one is a function that tells, and a line in a `JOINT_METHODS`."""

from __future__ import annotations

from imjax.methods.joint import several, single
from imjax.methods.joint.base import JointMethod

JOINT_METHODS: dict[str, JointMethod] = {**single.JOINT_METHODS, **several.JOINT_METHODS}
