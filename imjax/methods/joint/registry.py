"""The joint-training methods by name. A new one is a function that tells, and a line in a `HOSTS`."""

from __future__ import annotations

from imjax.methods.joint import several, single
from imjax.methods.joint.base import Host

HOSTS: dict[str, Host] = {**single.HOSTS, **several.HOSTS}
