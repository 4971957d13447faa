"""What a joint-training method returns, and the consistency losses that methods choose from.

Labeled and unlabeled images share every batch. A joint method calls its nets on views of the batch and
returns their predictions (`JointOutputs`); `joint.loss` turns them into one loss, with any weighting of the
pixels. Labels of every kind are treated as classes: binary as two classes, and each channel of a multilabel
pixel as a pixel of its own with two classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8

from imjax import losses
from imjax.config.joint_schema import Joint, MetaSSL
from imjax.data.spec import DatasetSpec
from imjax.methods.joint.forward import StudentForward
from imjax.methods.joint.views import BatchViews
from imjax.ops.metassl import region_weights

Logits = Float[Array, "b *px c"]
Probabilities = Float[Array, "b *px c"]
RegionWeights = tuple[float, ...]
ConsistencyLoss = Callable[[Probabilities, Logits, Float[Array, "b ..."]], jax.Array]
"""(reference, supervised, weight of each pixel) → float32 scalar."""


class ConsistencyPair(NamedTuple):
    """Two predictions of the same pixels: the supervised one is trained toward the reference."""

    reference: Probabilities
    """The target. A method that wants no gradient through it applies `stop_gradient` itself."""
    supervised: Logits
    """The prediction that is trained."""
    loss_fn: ConsistencyLoss
    mask: Bool[Array, "b ..."] | None = None
    """Pixels that count; None: all."""
    weight: float = 1.0
    """Factor of this pair in the consistency loss."""
    inconsistent: Bool[Array, "b ..."] | None = None
    """Pixels of the image that `joint.block_input` blocks, all channels of a label alike; None: the mask is
    where the two predictions of this pair disagree."""


class JointOutputs(NamedTuple):
    """Predictions of a method's nets for one batch."""

    labeled_logits: list[Logits]
    """Predictions of the labeled images, for the supervised loss."""
    unlabeled_pairs: list[ConsistencyPair]
    labeled_pairs: list[ConsistencyPair]
    """The same pairs on the labeled images; empty unless the method or the pixel weighting needs them."""
    extra_losses: dict[str, jax.Array] = {}
    """Further loss terms by name, already weighted."""
    similarity_maps: dict[str, Float[Array, "b b"]] = {}
    """Similarity matrices of the batch's unlabeled images, for display."""


@dataclasses.dataclass(frozen=True)
class JointMethod:
    """One joint-training method: its forward function and what the training step must know about it."""

    forward: Callable[[StudentForward, BatchViews, Joint, bool], JointOutputs]
    """(nets, views of the batch, settings, whether labeled pairs are needed) → predictions."""
    num_nets: Callable[[Joint], int] = lambda joint: 1
    """Trained nets of one system."""
    num_pairs: Callable[[Joint], int] = lambda joint: 1
    """Length of `JointOutputs.unlabeled_pairs`."""
    has_teacher: Callable[[Joint], bool] = lambda joint: False
    """Whether an exponential moving average of the first net is maintained."""
    can_block_input: bool = False
    """Whether the method reads `joint.block_input`: it needs the predictions of two nets, or of teacher and
    student, before the pass that is trained."""
    has_confident_labels: bool = False
    """Whether confident classes of weak views are its targets, so that it reads `joint.labeler` and
    `joint.pseudo_label_loss`."""
    auxiliary_decoders: int = 0
    """Auxiliary decoders of each net; with `pyramid` heads on its main decoder's coarser features."""
    pyramid: bool = False
    """Which of the two it needs: `model.auxiliary` must be `scales` or, without it, `decoders`."""
    uses_rampup: bool = True
    """Whether the consistency loss is weighted by `ops.rampup`."""
    loss_scale: float = 1.0
    """Factor of the whole loss; MetaSSL's total (methods.md 2.2) has none."""
    supervised_scale: float = 1.0
    """Factor of each labeled prediction's loss in their sum: of a mean, 1 over their number."""
    supervised_loss: Callable[[Logits, UInt8[Array, "b ..."]], jax.Array] = losses.ce_dice_loss
    """Of one net's labeled predictions; on validation images too."""
    extra_losses: tuple[str, ...] = ()
    """Keys of `JointOutputs.extra_losses`."""
    needs_dropout: bool = False
    """Whether its passes differ only by dropout, so that a net without dropout would learn nothing."""
    default_region_weights: tuple[RegionWeights, RegionWeights] = (
        region_weights(50, 0.6, 3),
        region_weights(85, 0.3, 3),
    )
    """MetaSSL's weights of UC, US, DC, DS for this method, of unlabeled and of labeled pixels (MetaSSL,
    arXiv 2509.01144). They apply where the configuration gives none."""

    def region_weights(self, settings: MetaSSL) -> tuple[RegionWeights, RegionWeights]:
        """MetaSSL's weights of unlabeled and of labeled pixels: the configured ones, else the defaults."""
        unlabeled, labeled = self.default_region_weights
        return settings.unlabeled or unlabeled, settings.labeled or labeled


def class_names(spec: DatasetSpec) -> tuple[str, ...]:
    """Names of the classes on the last axis of the predictions (`forward.as_classes`)."""
    return spec.classes if spec.kind == "multiclass" else ("absent", "present")


def most_probable_class(probabilities: Probabilities) -> UInt8[Array, "b ..."]:
    """Argmax over the last axis, uint8."""
    return probabilities.argmax(-1).astype(jnp.uint8)


def inconsistency_mask(
    images: UInt8[Array, "b ... ch"], first: Probabilities, second: Probabilities
) -> Bool[Array, "b ..."]:
    """Pixels of the images on which two predictions of them, or their logits, have different classes.

    Of multilabel predictions, `[b, *px, k, 2]`, a pixel is inconsistent if any channel is (methods.md 1.3).
    """
    differ = most_probable_class(first) != most_probable_class(second)
    return differ.any(-1) if differ.ndim == images.ndim else differ


def weighted_mean(values: Float[Array, "b ..."], weights: Float[Array, "b ..."]) -> jax.Array:
    """Sum of weighted values by the number of all pixels."""
    # Not by the sum of the weights: a pixel without weight lowers the loss, as in FixMatch, so that a batch
    # with few confident pixels takes a small step.
    return (values * weights).mean()


def hard_cross_entropy(
    reference: Probabilities, supervised: Logits, weights: Float[Array, "b ..."]
) -> jax.Array:
    """Cross-entropy, in nats, of the supervised prediction against the reference's most probable class."""
    return weighted_mean(losses.pixel_cross_entropy(supervised, most_probable_class(reference)), weights)


def hard_dice(reference: Probabilities, supervised: Logits, weights: Float[Array, "b ..."]) -> jax.Array:
    """Soft Dice of the supervised prediction against the reference's most probable class."""
    return losses.soft_dice(supervised, most_probable_class(reference), weights)


def mse_consistency(
    reference: Probabilities, supervised: Logits, weights: Float[Array, "b ..."]
) -> jax.Array:
    """Squared difference of the probabilities, mean over classes and pixels."""
    return weighted_mean(jnp.square(jax.nn.softmax(supervised, -1) - reference).mean(-1), weights)


def ce_linear_dice(reference: Probabilities, supervised: Logits, weights: Float[Array, "b ..."]) -> jax.Array:
    """½(cross-entropy + soft Dice without squares) against the reference's most probable class."""
    return losses.ce_dice_loss(supervised, most_probable_class(reference), weights, squared=False)


def kl_divergence(reference: Probabilities, supervised: Logits, weights: Float[Array, "b ..."]) -> jax.Array:
    """KL(reference ‖ supervised) in nats; the gradient flows into both unless the method stops it."""
    return weighted_mean(pixel_kl_divergence(reference, supervised), weights)


def pixel_kl_divergence(reference: Probabilities, supervised: Logits) -> Float[Array, "b ..."]:
    """KL(reference ‖ supervised) of each pixel, in nats."""
    # 0·log 0 would be nan; the floor is far below any float32 softmax value that contributes to the sum.
    log_reference = jnp.log(jnp.maximum(reference, 1e-12))
    return (reference * (log_reference - jax.nn.log_softmax(supervised, -1))).sum(-1)
