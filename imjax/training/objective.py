"""What a training run optimizes and watches, as pure functions of one model.

The training loop knows nothing else of a task: U-Nets and EvalNets (and any later kind) differ only in
the `Objective` they hand to it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from imjax import losses
from imjax.data.spec import VOID, DatasetSpec, LabelKind
from imjax.evaluation import metrics
from imjax.ops.ensemble import probabilities

Variables = dict[str, Any]
Batch = dict[str, Any]


LOSS = "loss"
"""Key of a step's loss among its figures."""


class StepAux(NamedTuple):
    """What a step leaves beside its loss."""

    rest: Variables
    """Every collection but the parameters, as the next step finds it."""
    scalars: dict[str, jax.Array]
    """Figures for the person, those that `Objective.scalars` names."""
    progress: jax.Array | None = None
    """What a rate that waits for a plateau is told; None: the loss."""


Loss = Callable[[Variables, Batch, jax.Array], tuple[jax.Array, StepAux]]


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """Functions of one model; batches are dicts of arrays with a leading axis b.

    An objective equals itself alone: compiled programs are kept per objective, so the functions below give
    the same one for the same arguments.
    """

    init: Callable[[jax.Array], Variables]
    """key → `{"params", ...}`; what is not among the parameters is no business of the optimizer's."""
    losses: dict[str, Loss]
    """One for each phase of an epoch, in order, by name: variables, batch, key → loss and `StepAux`."""
    watch: Callable[[Variables, Batch], dict[str, jax.Array]]
    """variables, validation batch (`"counted"` `[b]` is False for padding) → scalars; has `monitor`."""
    monitor: str
    """The scalar that picks each member's best epoch; EvalNets are ranked by it too."""
    larger_is_better: bool
    scalars: tuple[str, ...] = ()
    """Names of the figures that the losses give beside themselves."""


def gradient(loss: Loss, variables: Variables, batch: Batch, key: jax.Array) -> tuple:
    """`((loss, StepAux), gradient)` of a loss, by the parameters."""
    rest = {name: value for name, value in variables.items() if name != "params"}

    def of_params(params):
        return loss({"params": params} | rest, batch, key)

    return jax.value_and_grad(of_params, has_aux=True)(variables["params"])


def forward(net: nn.Module, variables: Variables, *inputs: jax.Array) -> Any:
    """The net's prediction with its running statistics."""
    return net.apply(variables, *inputs)


def _forward_train(net: nn.Module, variables: Variables, key: jax.Array, *inputs: jax.Array) -> tuple:
    outputs, changed = net.apply(
        variables, *inputs, train=True, mutable=["batch_stats"], rngs={"dropout": key}
    )
    return outputs, {"batch_stats": changed["batch_stats"]}


def watched(spec: DatasetSpec, logits: jax.Array, batch: Batch, measure: Callable) -> dict[str, jax.Array]:
    """What is watched of a segmentation net: the loss that `measure` gives, and the monitor (methods.md 1.5).

    Args:
        spec: of the dataset.
        logits: `[b, h, w, k]`.
        batch: with `label` and `counted`, False for padding.
        measure: logits, label with padding made void → loss.
    """
    shape = (-1,) + (1,) * (batch["label"].ndim - 1)
    label = jnp.where(batch["counted"].reshape(shape), batch["label"], VOID)
    out = {"loss": measure(logits, label)}
    if spec.monitor != "loss":
        said = probabilities(spec.kind, logits)
        first = {"first": int(spec.background)} if spec.monitor.endswith("miou") else {}
        out[spec.monitor] = getattr(metrics, spec.monitor)(said, label, **first)
    return out


@functools.lru_cache(maxsize=8)
def segmentation(net: nn.Module, spec: DatasetSpec, size: tuple[int, int]) -> Objective:
    """Supervised segmentation: `image` uint8 `[b, h, w, c]`, `label` uint8 as `DatasetSpec` says.

    `size` is (h, w) of the images that initialize the net. Loss: cross-entropy (multiclass) or MSE on the
    sigmoid (binary, multilabel). Watched: see `watched`, of each batch.
    """

    def supervised(logits, label):
        if spec.kind == "multiclass":
            return losses.cross_entropy(logits, label)
        return losses.mse_sigmoid(logits, label, spec.target_scale)

    def loss(variables, batch, key):
        logits, rest = _forward_train(net, variables, key, batch["image"])
        return supervised(logits, batch["label"]), StepAux(rest, {})

    def watch(variables, batch):
        return watched(spec, forward(net, variables, batch["image"]), batch, supervised)

    return Objective(
        lambda key: net.init(key, jnp.zeros((1, *size, spec.channels), jnp.uint8)),
        {"loss": loss},
        watch,
        spec.monitor,
        spec.monitor != "loss",
    )


def with_consistency(
    objective: Objective, net: nn.Module, kind: LabelKind, start: Variables, views: Callable
) -> Objective:
    """A supervised objective followed, in every epoch, by a phase of consistency (methods.md 1.2).

    Args:
        objective: of the labeled phase.
        net: the module.
        kind: of the labels: what the probabilities are.
        start: weights that every member starts from.
        views: key, image uint8 `[h, w, c]` → two views of it.

    The second phase takes batches of `image` alone. Its loss is the mean squared difference between the
    probabilities of the two views; the gradient flows into both.
    """

    def loss(variables, batch, key):
        draw, first_key, second_key = jax.random.split(key, 3)
        keys = jax.random.split(draw, len(batch["image"]))
        first, second = jax.vmap(views)(keys, batch["image"])
        one, rest = _forward_train(net, variables, first_key, first)
        other, rest = _forward_train(net, variables | rest, second_key, second)
        difference = probabilities(kind, one) - probabilities(kind, other)
        return jnp.square(difference).mean(), StepAux(rest, {})

    return dataclasses.replace(
        objective,
        init=lambda key: jax.tree.map(jnp.asarray, start),
        losses=objective.losses | {"consistency_loss": loss},
        monitor="loss",
        larger_is_better=False,
    )


@functools.lru_cache(maxsize=8)
def scoring(net: nn.Module, spec: DatasetSpec, size: tuple[int, int]) -> Objective:
    """EvalNet: how good is this mask for this image (methods.md 1.4, 1.5).

    Batches: `image` uint8 `[b, h, w, c]`, `mask` uint8, `iou` and `detection` float32 `[b, k]`. Binary
    nets have the one IoU head and are watched by their mean absolute error, others by their loss. `size` is
    (h, w) of the images that initialize the net.
    """
    binary = spec.kind == "binary"

    def measured(outputs, batch):
        return losses.score_loss(outputs[0], batch["iou"], outputs[1], None if binary else batch["detection"])

    def loss(variables, batch, key):
        outputs, rest = _forward_train(net, variables, key, batch["image"], batch["mask"])
        return measured(outputs, batch), StepAux(rest, {})

    def watch(variables, batch):
        outputs = forward(net, variables, batch["image"], batch["mask"])
        # One image at a time, so that padding can be left out of the mean.
        rows = jax.tree.map(lambda x: x[:, None], (outputs, batch))
        weight = batch["counted"] / jnp.maximum(batch["counted"].sum(), 1)
        error = jnp.abs(jax.nn.sigmoid(outputs[0]) - batch["iou"]).mean(-1)
        return {"loss": (jax.vmap(measured)(*rows) * weight).sum(), "mae": (error * weight).sum()}

    monitor = "mae" if binary else "loss"
    mask = (*size, spec.outputs) if spec.kind == "multilabel" else size
    shapes = ((1, *size, spec.channels), (1, *mask))
    return Objective(
        lambda key: net.init(key, *(jnp.zeros(shape, jnp.uint8) for shape in shapes)),
        {"loss": loss},
        watch,
        monitor,
        False,
    )
