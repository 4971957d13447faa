"""Joint training as an objective: a member is a system of nets, with all that goes along (methods.md 2)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from imjax import losses
from imjax.config.joint_schema import Joint
from imjax.data.spec import DatasetSpec
from imjax.methods.joint import loss as total
from imjax.methods.joint.base import JointMethod, label_of
from imjax.methods.joint.forward import TEACHER, StudentForward, as_classes, name
from imjax.methods.joint.views import BatchViews
from imjax.training.objective import Objective, StepAux, forward, watched

Variables = dict[str, Any]


class System(NamedTuple):
    """A host with everything that its step needs; equal ones share a compiled program."""

    net: nn.Module
    host: JointMethod
    joint: Joint
    spec: DatasetSpec
    weighting: str
    """One of `config_joint.WEIGHTINGS`."""

    @property
    def nets(self) -> int:
        """Nets that learn."""
        return self.host.nets(self.joint)


@functools.lru_cache(maxsize=8)
def joint_training(system: System, size: tuple[int, ...]) -> Objective:
    """What a system optimizes and watches.

    Batches: `labeled` and `unlabeled`, each a dict with `image`, the first with `label`. Variables:
    `params` and `batch_stats` by net, and under `method` the step, the teacher's parameters and MetaSSL's
    thresholds.
    Watched: loss and soft IoU, mean over the nets.

    Args:
        system: nets, method and dataset.
        size: of the images that initialize the nets.
    """
    spec, host, joint = system.spec, system.host, system.joint

    def loss(variables, batch, key):
        variables = _with_teacher(system, variables)
        method = variables["method"]
        told, seen, stats = _tell(system, variables, batch, key)
        summed = total.total(
            told, seen.label, method["step"], method["thresholds"],
            host=host, joint=joint, spec=spec, chosen=system.weighting,
        )  # fmt: skip
        after = method | {"step": method["step"] + 1, "thresholds": summed.thresholds}
        # What the ramp brings in would look like a plateau.
        rest, progress = {"batch_stats": stats, "method": after}, summed.scalars["supervised"]
        return summed.loss, StepAux(rest, summed.scalars, progress)

    def watch(variables, batch):
        measure = lambda logits, label: losses.overlap_loss(as_classes(spec.kind, logits), label)  # noqa: E731
        nets = [forward(system.net, one, batch["image"]) for one in of_nets(variables, system.nets)]
        found = [watched(spec, logits, batch, measure) for logits in nets]
        return jax.tree.map(lambda *values: sum(values) / len(values), *found)

    return Objective(
        functools.partial(_init, system, size),
        {"loss": loss},
        watch,
        spec.monitor,
        spec.monitor != "loss",
        total.scalar_names(host, spec, system.weighting),
    )


def of_nets(variables: Variables, count: int) -> list[Variables]:
    """A system's variables → each net's."""
    return [{part: variables[part][name(i)] for part in ("params", "batch_stats")} for i in range(count)]


def _init(system: System, size: tuple[int, ...], key: jax.Array) -> Variables:
    images = jnp.zeros((1, *size, system.spec.channels), jnp.uint8)
    found = [system.net.init(jax.random.fold_in(key, i), images) for i in range(system.nets)]
    variables = {
        part: {name(i): one[part] for i, one in enumerate(found)} for part in ("params", "batch_stats")
    }
    thresholds = total.first_thresholds(system.host, system.joint, system.spec, system.weighting)
    method = {"step": jnp.zeros((), jnp.int32), "thresholds": thresholds}
    if system.host.teacher:
        method[TEACHER] = jax.tree.map(jnp.copy, found[0]["params"])
        variables["batch_stats"][TEACHER] = jax.tree.map(jnp.copy, found[0]["batch_stats"])
    return variables | {"method": method}


def _tell(
    system: System, variables: Variables, batch: dict, key: jax.Array
) -> tuple[Any, BatchViews, Variables]:
    """What the nets say of a batch, the views they saw, and their batch statistics afterwards."""
    draws, own = jax.random.split(key)
    seen = BatchViews(batch, system.joint, system.spec.rotation_invariant, draws)
    nets = StudentForward(system.net, system.spec.kind, variables, own)
    told = system.host.tell(nets, seen, system.joint, system.weighting == "metassl")
    return told, seen, nets.stats


def _with_teacher(system: System, variables: Variables) -> Variables:
    """The variables with the teacher, if there is one, after the last step's update of its student.

    Its decay is min(1 − 1/(step + 1), `ema_decay`) (methods.md 2). Taken at the start of a step
    and not after the optimizer's update of the last, which is the same moment.
    """
    method = variables["method"]
    if not system.host.teacher:
        return variables
    decay = 1 - 1 / jnp.maximum(method["step"], 1).astype(jnp.float32)
    decay = jnp.minimum(decay, system.joint.ema_decay)
    student = jax.lax.stop_gradient(variables["params"][name(0)])
    taught = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, method[TEACHER], student)
    return variables | {"method": method | {TEACHER: taught}}


class Look(NamedTuple):
    """What the loss saw of the unlabeled images of one batch."""

    image: jax.Array
    """uint8 `[m, h, w, c]`, the weak views."""
    reference: jax.Array
    """uint8 `[m, *px]` classes that the first exchange believes in."""
    supervised: jax.Array
    """The same of who learns."""
    region: jax.Array
    """uint8 `[m, *px]`, MetaSSL's regions by the thresholds reached, or by the first ones."""
    weight: jax.Array
    """float32 `[m, *px]`, what each pixel counts."""
    maps: dict[str, jax.Array]
    """`[m, m]` by name, see `base.JointOutputs`."""


def looker(system: System) -> Callable[[Variables, dict, jax.Array], Look]:
    """A function of one system, a batch and a key, for panels; the method must have an exchange."""

    def look(variables, batch, key):
        variables = _with_teacher(system, variables)
        told, seen, _ = _tell(system, variables, batch, key)
        first = told.unlabeled[0]
        thresholds = variables["method"]["thresholds"]
        start = jnp.full(first.reference.shape[-1], system.joint.metassl.threshold)
        region = total.region_map(first, thresholds["unlabeled"][0] if thresholds else start)
        chosen = "none" if system.weighting == "metassl" else system.weighting
        weight = total.pixel_weights(first, chosen)
        if system.weighting == "metassl":
            weights = jnp.asarray(system.host.region_weights(system.joint.metassl)[0], jnp.float32)
            weight = weights[region] / weights.max()
        return Look(
            seen.parts(seen.images)[1], label_of(first.reference), label_of(first.supervised), region, weight,
            told.maps,
        )  # fmt: skip

    return look
