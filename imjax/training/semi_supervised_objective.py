"""Joint training as an objective: a member is a system of nets with teacher, thresholds and step count."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from imjax.config.joint_schema import Joint
from imjax.config.schema import StrongRecipe
from imjax.data.spec import DatasetSpec
from imjax.evaluation import metrics
from imjax.methods.joint.base import JointMethod, JointOutputs, most_probable_class
from imjax.methods.joint.forward import TEACHER, StudentForward, as_classes, net_name
from imjax.methods.joint.loss import (
    initial_thresholds,
    joint_loss,
    metric_names,
    pixel_weights,
    region_map,
)
from imjax.methods.joint.views import BatchViews
from imjax.training.objective import (
    Objective,
    ObjectiveSpec,
    StepAux,
    predict,
    validation_metrics,
    void_padding,
)

Variables = dict[str, Any]
DICE = "dice"
"""Key of the validation Dice, by which the published simEps reduces its learning rate."""


class System(NamedTuple):
    """A joint method with everything that its step needs; equal systems share compiled programs."""

    net: nn.Module
    method: JointMethod
    joint: Joint
    spec: DatasetSpec
    recipe: StrongRecipe | None = None

    @property
    def num_nets(self) -> int:
        """Trained nets; the teacher does not count."""
        return self.method.num_nets(self.joint)


def joint_objective(system: System, size: tuple[int, ...], start: Sequence[Variables] = ()) -> Objective:
    """Loss and validation metrics of a system.

    Batches: `labeled` and `unlabeled`, each a dict with `image`, the first with `label`. Variables: `params`
    and `batch_stats` by net, and under `method` the step, the teacher's parameters and MetaSSL's thresholds.
    Validation metrics: loss, selection metric and Dice, mean over the nets.

    Args:
        system: nets, method and dataset.
        size: of the images that initialize the nets.
        start: numpy weights of nets that those of the systems start from, in turn, see `Objective.start`.
    """
    spec = system.spec

    def loss_fn(variables, batch, key):
        variables = _with_updated_teacher(system, variables)
        state = variables["method"]
        outputs, views, batch_stats = _forward(system, variables, batch, key)
        result = joint_loss(
            outputs, views.label, state["step"], state["thresholds"],
            method=system.method, joint=system.joint, spec=spec,
        )  # fmt: skip
        state = state | {"step": state["step"] + 1, "thresholds": result.thresholds}
        return result.loss, StepAux({"batch_stats": batch_stats, "method": state}, result.metrics)

    def measure(logits, label):
        return system.method.supervised_loss(as_classes(spec.kind, logits), label)

    def eval_net(variables, batch):
        logits = predict(system.net, variables, batch["image"])
        probabilities = jax.nn.softmax(as_classes(spec.kind, logits), -1)
        # Of what is an object: absence is the first class of a binary label or a channel.
        first = int(spec.background) if spec.kind == "multiclass" else 1
        dice = metrics.hard_mdice(probabilities, void_padding(batch), first)
        return validation_metrics(spec, logits, batch, measure) | {DICE: dice}

    def eval_fn(variables, batch):
        by_net = [eval_net(net, batch) for net in split_nets(variables, system.num_nets)]
        return jax.tree.map(lambda *values: sum(values) / len(values), *by_net)

    return Objective(
        ObjectiveSpec("joint", system.net, spec, size, system),
        functools.partial(_init_variables, system, size),
        {"loss": loss_fn},
        eval_fn,
        spec.selection_metric,
        spec.selection_metric != "loss",
        metric_names(system.method, spec, system.joint.pixel_weighting),
        start=tuple(_system_start(system, start, member) for member in range(len(start))),
        # Not the training loss: the growth of the ramp-up would look like a plateau.
        plateau_metric=DICE,
        ema_decay=system.recipe.ema_decay if system.recipe else 0.0,
    )


def _system_start(system: System, nets: Sequence[Variables], member: int) -> Variables:
    """What the nets of a member start from, as a part of the member's variables."""
    first = member * system.num_nets
    own = {net_name(i): nets[(first + i) % len(nets)] for i in range(system.num_nets)}
    parts = {part: {name: net[part] for name, net in own.items()} for part in ("params", "batch_stats")}
    # The teacher starts as its student, also where the system has none.
    student = own[net_name(0)]
    return {
        "params": parts["params"],
        "batch_stats": parts["batch_stats"] | {TEACHER: student["batch_stats"]},
        "method": {TEACHER: student["params"]},
    }


def split_nets(variables: Variables, count: int) -> list[Variables]:
    """A system's variables → those of each of its `count` nets."""
    return [{part: variables[part][net_name(i)] for part in ("params", "batch_stats")} for i in range(count)]


def _init_variables(system: System, size: tuple[int, ...], key: jax.Array) -> Variables:
    images = jnp.zeros((1, *size, system.spec.channels), jnp.uint8)
    # A key for each net: CPS and simEps live on nets that start differently.
    nets = [system.net.init(jax.random.fold_in(key, i), images) for i in range(system.num_nets)]
    variables = {
        part: {net_name(i): net[part] for i, net in enumerate(nets)} for part in ("params", "batch_stats")
    }
    thresholds = initial_thresholds(system.method, system.joint, system.spec)
    state = {"step": jnp.zeros((), jnp.int32), "thresholds": thresholds}
    if system.method.has_teacher(system.joint):
        # Copies: the training step donates its arguments, and one buffer cannot be donated twice.
        state[TEACHER] = jax.tree.map(jnp.copy, nets[0]["params"])
        variables["batch_stats"][TEACHER] = jax.tree.map(jnp.copy, nets[0]["batch_stats"])
    return variables | {"method": state}


def _forward(
    system: System, variables: Variables, batch: dict, key: jax.Array
) -> tuple[JointOutputs, BatchViews, Variables]:
    """Predictions of a batch, the views they are of, and the nets' batch statistics afterwards."""
    views_key, nets_key = jax.random.split(key)
    views = BatchViews(batch, system.joint, system.spec.rotation_invariant, views_key, system.recipe)
    nets = StudentForward(system.net, system.spec.kind, variables, nets_key)
    # MetaSSL needs the pairs of labeled images too, whatever the method does with them.
    with_labeled = system.joint.pixel_weighting == "metassl"
    outputs = system.method.forward(nets, views, system.joint, with_labeled)
    return outputs, views, nets.batch_stats


def _with_updated_teacher(system: System, variables: Variables) -> Variables:
    """The variables with the teacher, if there is one, after the last step's update of its student.

    The decay of the moving average is min(1 − 1/(step + 1), `ema_decay`), as in Mean Teacher's code: a plain
    mean at first, which forgets the initial weights. It is taken at the start of a step instead of after the
    optimizer's update of the last, which is the same moment.
    """
    state = variables["method"]
    if not system.method.has_teacher(system.joint):
        return variables
    decay = 1 - 1 / jnp.maximum(state["step"], 1).astype(jnp.float32)
    decay = jnp.minimum(decay, system.joint.ema_decay)
    # No gradient through the average into the student.
    student = jax.lax.stop_gradient(variables["params"][net_name(0)])
    teacher = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state[TEACHER], student)
    return variables | {"method": state | {TEACHER: teacher}}


class LossVisuals(NamedTuple):
    """What the consistency loss used of the unlabeled images of one batch, for display."""

    image: jax.Array
    """uint8 `[m, h, w, c]`, the weak views."""
    reference: jax.Array
    """uint8 `[m, *px]`, most probable class of the first pair's reference."""
    supervised: jax.Array
    """The same of its supervised prediction."""
    region: jax.Array
    """uint8 `[m, *px]`, MetaSSL's regions by the current thresholds, without MetaSSL by the initial ones."""
    weight: jax.Array
    """float32 `[m, *px]`, 0..1, weight of each pixel."""
    similarity_maps: dict[str, jax.Array]
    """`[m, m]` by name, see `JointOutputs`."""


def make_loss_visualizer(system: System) -> Callable[[Variables, dict, jax.Array], LossVisuals]:
    """A function (variables of one system, batch, key) → `LossVisuals`; the method must have a pair."""

    def visualize(variables, batch, key):
        variables = _with_updated_teacher(system, variables)
        outputs, views, _ = _forward(system, variables, batch, key)
        pair = outputs.unlabeled_pairs[0]
        thresholds = variables["method"]["thresholds"]
        initial = jnp.full(pair.reference.shape[-1], system.joint.metassl.threshold)
        region = region_map(pair, thresholds["unlabeled"][0] if thresholds else initial)
        if system.joint.pixel_weighting == "metassl":
            unlabeled, _ = system.method.region_weights(system.joint.metassl)
            by_region = jnp.asarray(unlabeled, jnp.float32)
            weight = by_region[region] / by_region.max()
        else:
            weight = pixel_weights(pair, system.joint.pixel_weighting)
        return LossVisuals(
            views.split(views.images)[1],
            most_probable_class(pair.reference),
            most_probable_class(pair.supervised),
            region,
            weight,
            outputs.similarity_maps,
        )

    return visualize
