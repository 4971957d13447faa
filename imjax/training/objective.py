"""What a training run optimizes and measures, as pure functions of one model.

The training loop knows nothing else about a task: U-Nets, EvalNets and systems of nets differ only in their
`Objective`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from imjax import losses
from imjax.config.schema import AugmentStrength, StrongRecipe
from imjax.data.spec import VOID, DatasetSpec
from imjax.evaluation import metrics
from imjax.methods.generational.consistency import two_views
from imjax.methods.joint.forward import as_classes
from imjax.methods.strong_recipe import make_training_views
from imjax.models.network import Network
from imjax.ops import augment
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


@dataclasses.dataclass(frozen=True)
class ObjectiveSpec:
    """What an objective's functions are made from; equal ones make programs that do the same."""

    task: Literal["segmentation", "consistency", "evalnet", "joint"]
    net: Network
    dataset: DatasetSpec
    size: tuple[int, ...]
    """Of the images that initialize the net, `(h, w)` or `(d, h, w)`."""
    settings: Hashable = None
    """What else the task depends on."""


def _uncompared() -> Any:
    return dataclasses.field(compare=False)


@dataclasses.dataclass(frozen=True)
class Objective:
    """Functions of one model; batches are dicts of arrays with a leading axis b.

    Compared by `spec` alone: compiled programs are kept by it, and functions that are made again for each
    stage would be compiled anew.
    """

    spec: Hashable
    """Everything that the functions below depend on, as `ObjectiveSpec` has it."""
    init: Callable[[jax.Array], Variables] = _uncompared()
    """key → `{"params", ...}`; the optimizer updates the parameters only."""
    losses: dict[str, LossFn] = _uncompared()
    """One for each phase of an epoch, in order, by name."""
    eval_fn: Callable[[Variables, Batch], dict[str, jax.Array]] = _uncompared()
    """(variables, validation batch with `counted` `[b]`, False for padding) → scalars, `selection_metric`
    among them."""
    selection_metric: str = _uncompared()
    """The scalar that selects each member's best epoch; EvalNets are ranked by it too."""
    larger_is_better: bool = _uncompared()
    metric_names: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    """Keys of `StepAux.metrics`."""
    start: tuple[Variables, ...] = dataclasses.field(default=(), compare=False, repr=False)
    """Numpy weights that members start from, in turn, instead of those of `init`, where they have the same
    name and shape; no program depends on them."""
    ema_decay: float = dataclasses.field(default=0.0, compare=False)
    """Largest decay of the moving average of the variables, which is measured and kept instead of them;
    0: none."""
    plateau_metric: str = dataclasses.field(default=LOSS, compare=False)
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


def predict(net: Network, variables: Variables, *inputs: jax.Array) -> Any:
    """The net's outputs with its running batch statistics."""
    return net.apply(variables, *inputs)


def _forward_train(net: Network, variables: Variables, key: jax.Array, *inputs: jax.Array) -> tuple:
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


def segmentation_objective(
    net: Network,
    spec: DatasetSpec,
    size: tuple[int, int],
    recipe: StrongRecipe | None = None,
    start: tuple[Variables, ...] = (),
) -> Objective:
    """Supervised segmentation: `image` uint8 `[b, h, w, c]`, `label` uint8 as `DatasetSpec` says.

    Args:
        net: the module.
        spec: of the dataset.
        size: (h, w) of the images that initialize the net.
        recipe: without one, cross-entropy (multiclass) or MSE on the sigmoid (binary, multilabel) of the
            images as they are, as in arXiv 2401.14387; otherwise ½ (cross-entropy + soft Dice) of random
            views, and the weights' moving average is measured.
        start: see `Objective`.
    """

    def supervised(logits, label):
        if recipe:
            return losses.ce_dice_loss(as_classes(spec.kind, logits), label)
        if spec.kind == "multiclass":
            return losses.cross_entropy(logits, label)
        return losses.mse_sigmoid(logits, label, spec.target_scale)

    def loss_fn(variables, batch, key):
        image, label = batch["image"], batch["label"]
        if recipe:
            key, views_key = jax.random.split(key)
            image, label = make_training_views(views_key, image, label, recipe, spec.rotation_invariant)
        logits, state = _forward_train(net, variables, key, image)
        return supervised(logits, label), StepAux(state, {})

    def eval_fn(variables, batch):
        return validation_metrics(spec, predict(net, variables, batch["image"]), batch, supervised)

    return Objective(
        ObjectiveSpec("segmentation", net, spec, size, recipe),
        lambda key: net.init(key, jnp.zeros((1, *size, spec.channels), jnp.uint8)),
        {"loss": loss_fn},
        eval_fn,
        spec.selection_metric,
        spec.selection_metric != "loss",
        start=start,
        ema_decay=recipe.ema_decay if recipe else 0.0,
    )


def consistency_objective(
    net: Network,
    spec: DatasetSpec,
    size: tuple[int, int],
    strength: AugmentStrength,
    start: tuple[Variables, ...],
    recipe: StrongRecipe | None = None,
) -> Objective:
    """`segmentation_objective` with a second phase in every epoch: the consistency loss (arXiv 2401.14387).

    Args:
        net, spec, size, recipe: as of `segmentation_objective`, for the first phase.
        strength: of the photometry of the two views.
        start: as `Objective.start`.

    The second phase takes batches of `image` alone. Its loss is the mean squared difference between the
    probabilities of the two views; the gradient flows into both.
    """

    def views(key, image):
        kernel_strength = augment.AugmentStrength(
            strength.blur, strength.noise, strength.contrast, strength.brightness
        )
        return two_views(key, image, kernel_strength, rotation_invariant=spec.rotation_invariant)

    def loss_fn(variables, batch, key):
        views_key, first_key, second_key = jax.random.split(key, 3)
        keys = jax.random.split(views_key, len(batch["image"]))
        first, second = jax.vmap(views)(keys, batch["image"])
        # One pass after the other, each with batch statistics of its own view; both update the running ones.
        first_logits, state = _forward_train(net, variables, first_key, first)
        second_logits, state = _forward_train(net, variables | state, second_key, second)
        difference = probabilities(spec.kind, first_logits) - probabilities(spec.kind, second_logits)
        return jnp.square(difference).mean(), StepAux(state, {})

    objective = segmentation_objective(net, spec, size, recipe)
    return dataclasses.replace(
        objective,
        spec=ObjectiveSpec("consistency", net, spec, size, (strength, recipe)),
        losses=objective.losses | {"consistency_loss": loss_fn},
        selection_metric="loss",
        larger_is_better=False,
        start=start,
    )


def evalnet_objective(net: Network, spec: DatasetSpec, size: tuple[int, int]) -> Objective:
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
        ObjectiveSpec("evalnet", net, spec, size),
        lambda key: net.init(key, *(jnp.zeros(shape, jnp.uint8) for shape in shapes)),
        {"loss": loss_fn},
        eval_fn,
        "mae" if binary else "loss",
        False,
    )
