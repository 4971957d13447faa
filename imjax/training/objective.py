"""What a training run optimizes and measures, as pure functions of one model.

The training loop knows nothing else about a task: U-Nets, EvalNets and systems of nets differ only in their
`Objective`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
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
"""Key of a step's loss among its metrics."""


class StepAux(NamedTuple):
    """Results of a loss function beside the loss."""

    model_state: Variables
    """Every collection except the parameters, for the next step."""
    metrics: dict[str, jax.Array]
    """Scalars by name, those of `Objective.metric_names`."""


LossFn = Callable[[Variables, Batch, jax.Array], tuple[jax.Array, StepAux]]
"""(variables, batch, key) → (loss, `StepAux`)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """Functions of one model; batches are dicts of arrays with a leading axis b.

    Compared by identity, since compiled programs are cached per objective: the functions below are cached and
    return the same objective for the same arguments.
    """

    init: Callable[[jax.Array], Variables]
    """key → `{"params", ...}`; the optimizer updates the parameters only."""
    losses: dict[str, LossFn]
    """One for each phase of an epoch, in order, by name."""
    eval_fn: Callable[[Variables, Batch], dict[str, jax.Array]]
    """(variables, validation batch with `counted` `[b]`, False for padding) → scalars, `selection_metric`
    among them."""
    selection_metric: str
    """The scalar that selects each member's best epoch; EvalNets are ranked by it too."""
    larger_is_better: bool
    metric_names: tuple[str, ...] = ()
    """Keys of `StepAux.metrics`."""
    plateau_metric: str = LOSS
    """The validation scalar by which the learning rate's schedule detects a plateau: `loss`, or a metric from
    0 to 1 of which more is better."""

    def plateau_value(self, validation: Mapping[str, Any]) -> Any:
        """`plateau_metric` among scalars of `eval_fn`, as a value of which less is better."""
        value = validation[self.plateau_metric]
        return value if self.plateau_metric == LOSS else 1 - value


def loss_and_grad(loss_fn: LossFn, variables: Variables, batch: Batch, key: jax.Array) -> tuple:
    """`((loss, StepAux), gradient of the loss by the parameters)`."""
    state = {name: value for name, value in variables.items() if name != "params"}

    def of_params(params):
        return loss_fn({"params": params} | state, batch, key)

    return jax.value_and_grad(of_params, has_aux=True)(variables["params"])


def predict(net: nn.Module, variables: Variables, *inputs: jax.Array) -> Any:
    """The net's outputs with its running batch statistics."""
    return net.apply(variables, *inputs)


def _forward_train(net: nn.Module, variables: Variables, key: jax.Array, *inputs: jax.Array) -> tuple:
    outputs, changed = net.apply(
        variables, *inputs, train=True, mutable=["batch_stats"], rngs={"dropout": key}
    )
    return outputs, {"batch_stats": changed["batch_stats"]}


def void_padding(batch: Batch) -> jax.Array:
    """Labels of a validation batch, VOID where an image only fills the batch: no loss or metric counts it."""
    shape = (-1,) + (1,) * (batch["label"].ndim - 1)
    return jnp.where(batch["counted"].reshape(shape), batch["label"], VOID)


def validation_metrics(
    spec: DatasetSpec, logits: jax.Array, batch: Batch, loss_fn: Callable
) -> dict[str, jax.Array]:
    """Loss and selection metric of a segmentation net for a validation batch.

    Args:
        spec: of the dataset.
        logits: `[b, h, w, k]`.
        batch: with `label` and `counted`, False for padding.
        loss_fn: (logits, label) → loss.

    Returns:
        Float32 scalars: `loss`, and `spec.selection_metric` by the function of that name in
        `imjax.evaluation.metrics`.
    """
    label = void_padding(batch)
    values = {"loss": loss_fn(logits, label)}
    name = spec.selection_metric
    if name != "loss":
        first = {"first": int(spec.background)} if name.endswith("miou") else {}
        values[name] = getattr(metrics, name)(probabilities(spec.kind, logits), label, **first)
    return values


@functools.lru_cache(maxsize=8)
def segmentation_objective(net: nn.Module, spec: DatasetSpec, size: tuple[int, int]) -> Objective:
    """Supervised segmentation: `image` uint8 `[b, h, w, c]`, `label` uint8 as `DatasetSpec` says.

    `size` is (h, w) of the images that initialize the net. Loss: cross-entropy (multiclass) or MSE on the
    sigmoid (binary, multilabel), as in arXiv 2401.14387.
    """

    def supervised(logits, label):
        if spec.kind == "multiclass":
            return losses.cross_entropy(logits, label)
        return losses.mse_sigmoid(logits, label, spec.target_scale)

    def loss_fn(variables, batch, key):
        logits, state = _forward_train(net, variables, key, batch["image"])
        return supervised(logits, batch["label"]), StepAux(state, {})

    def eval_fn(variables, batch):
        return validation_metrics(spec, predict(net, variables, batch["image"]), batch, supervised)

    return Objective(
        lambda key: net.init(key, jnp.zeros((1, *size, spec.channels), jnp.uint8)),
        {"loss": loss_fn},
        eval_fn,
        spec.selection_metric,
        spec.selection_metric != "loss",
    )


def with_consistency_phase(
    objective: Objective, net: nn.Module, kind: LabelKind, start: Variables, views: Callable
) -> Objective:
    """A supervised objective with a second phase in every epoch: the consistency loss (arXiv 2401.14387).

    Args:
        objective: of the labeled phase.
        net: the module.
        kind: of the labels; softmax or sigmoid.
        start: weights that every member starts from.
        views: (key, image uint8 `[h, w, c]`) → two views of it.

    The second phase takes batches of `image` alone. Its loss is the mean squared difference between the
    probabilities of the two views; the gradient flows into both.
    """

    def loss_fn(variables, batch, key):
        views_key, first_key, second_key = jax.random.split(key, 3)
        keys = jax.random.split(views_key, len(batch["image"]))
        first, second = jax.vmap(views)(keys, batch["image"])
        # One pass after the other, each with batch statistics of its own view; both update the running ones.
        first_logits, state = _forward_train(net, variables, first_key, first)
        second_logits, state = _forward_train(net, variables | state, second_key, second)
        difference = probabilities(kind, first_logits) - probabilities(kind, second_logits)
        return jnp.square(difference).mean(), StepAux(state, {})

    return dataclasses.replace(
        objective,
        init=lambda key: jax.tree.map(jnp.asarray, start),
        losses=objective.losses | {"consistency_loss": loss_fn},
        selection_metric="loss",
        larger_is_better=False,
    )


@functools.lru_cache(maxsize=8)
def evalnet_objective(net: nn.Module, spec: DatasetSpec, size: tuple[int, int]) -> Objective:
    """EvalNet: the IoU of a mask from image and mask (arXiv 2401.14387).

    Batches: `image` uint8 `[b, h, w, c]`, `mask` uint8, `iou` and `detection` float32 `[b, k]`. Binary nets
    have an IoU head only and are selected by their mean absolute error, others by their loss. `size` is
    (h, w) of the images that initialize the net.
    """
    binary = spec.kind == "binary"

    def score_loss(outputs, batch):
        return losses.score_loss(outputs[0], batch["iou"], outputs[1], None if binary else batch["detection"])

    def loss_fn(variables, batch, key):
        outputs, state = _forward_train(net, variables, key, batch["image"], batch["mask"])
        return score_loss(outputs, batch), StepAux(state, {})

    def eval_fn(variables, batch):
        outputs = predict(net, variables, batch["image"], batch["mask"])
        # One image at a time, so that padding can be left out of the mean.
        rows = jax.tree.map(lambda x: x[:, None], (outputs, batch))
        weight = batch["counted"] / jnp.maximum(batch["counted"].sum(), 1)
        error = jnp.abs(jax.nn.sigmoid(outputs[0]) - batch["iou"]).mean(-1)
        return {"loss": (jax.vmap(score_loss)(*rows) * weight).sum(), "mae": (error * weight).sum()}

    mask = (*size, spec.outputs) if spec.kind == "multilabel" else size
    shapes = ((1, *size, spec.channels), (1, *mask))
    return Objective(
        lambda key: net.init(key, *(jnp.zeros(shape, jnp.uint8) for shape in shapes)),
        {"loss": loss_fn},
        eval_fn,
        "mae" if binary else "loss",
        False,
    )
