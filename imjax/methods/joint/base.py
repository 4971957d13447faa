"""What a joint-training method is made of: predictions of the same pixels, held against each other.

Labeled and unlabeled images share every batch (methods.md 2). A joint method calls its nets and returns their
predictions (`JointOutputs`); `loss` makes the loss of them, with any weighting of pixels. Labels of all kinds
become classes first: binary is two classes, and each multilabel channel is a pixel of its own with two.
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
How = Callable[[Probabilities, Logits, Float[Array, "b ..."]], jax.Array]
"""Reference, supervised, weight per pixel → scalar."""


class ConsistencyPair(NamedTuple):
    """A net learns from what was said of the same pixels by another, by another view or by a teacher."""

    reference: Probabilities
    """Who is believed; where no gradient should flow, the host stops it."""
    supervised: Logits
    """Who learns."""
    how: How
    kept: Bool[Array, "b ..."] | None = None
    """Pixels that count; None: all."""
    share: float = 1.0
    """Of the consistency loss."""


class JointOutputs(NamedTuple):
    """What the nets of a system said of one batch."""

    truth: list[Logits]
    """Of the labeled images, to be held against the truth."""
    unlabeled: list[ConsistencyPair]
    labeled: list[ConsistencyPair]
    """The same exchanges on the labeled images; empty unless the method or its weighting asks for them."""
    extra: dict[str, jax.Array] = {}
    """Further losses by name, as they enter the sum."""
    maps: dict[str, Float[Array, "b b"]] = {}
    """Similarity of the unlabeled images of the batch, for the eye."""


@dataclasses.dataclass(frozen=True)
class JointMethod:
    """One joint-training method."""

    tell: Callable[[StudentForward, BatchViews, Joint, bool], JointOutputs]
    """Nets, views of the batch, settings, whether labeled images are exchanged as well."""
    nets: Callable[[Joint], int] = lambda joint: 1
    """Nets of one system that learn."""
    exchanges: Callable[[Joint], int] = lambda joint: 1
    """Length of `JointOutputs.unlabeled`."""
    teacher: bool = False
    """Whether a moving average of the first net goes along."""
    auxiliaries: int = 0
    """Auxiliary decoders of a net."""
    ramped: bool = True
    """Whether consistency comes in by `ops.ramp`."""
    scale: float = 1.0
    """On the whole loss."""
    extra: tuple[str, ...] = ()
    """Names in `JointOutputs.extra`."""
    drops: bool = False
    """Whether its passes differ by dropout alone, so that the net must have some."""
    regions: tuple[RegionWeights, RegionWeights] = (region_weights(50, 0.6, 3), region_weights(85, 0.3, 3))
    """MetaSSL's weights of UC, US, DC, DS beside it, of unlabeled and of labeled pixels, where the
    configuration names none (methods.md 2.2)."""

    def region_weights(self, settings: MetaSSL) -> tuple[RegionWeights, RegionWeights]:
        """Those that are in force."""
        unlabeled, labeled = self.regions
        return settings.unlabeled or unlabeled, settings.labeled or labeled


def class_names(spec: DatasetSpec) -> tuple[str, ...]:
    """Names of the classes that `StudentForward` speaks of."""
    return spec.classes if spec.kind == "multiclass" else ("absent", "present")


def _mean(values: Float[Array, "b ..."], weights: Float[Array, "b ..."]) -> jax.Array:
    """Mean of weight · value over all pixels, so that a pixel that does not count lowers it."""
    return (values * weights).mean()


def label_of(probabilities: Probabilities) -> UInt8[Array, "b ..."]:
    """The most probable class."""
    return probabilities.argmax(-1).astype(jnp.uint8)


def hard(reference: Probabilities, supervised: Logits, weights: Float[Array, "b ..."]) -> jax.Array:
    """Cross-entropy of the supervised against the reference's most probable class."""
    return _mean(losses.pixel_cross_entropy(supervised, label_of(reference)), weights)


def soft(reference: Probabilities, supervised: Logits, weights: Float[Array, "b ..."]) -> jax.Array:
    """Squared difference of the probabilities, mean over classes and pixels."""
    return _mean(jnp.square(jax.nn.softmax(supervised, -1) - reference).mean(-1), weights)


def overlap(reference: Probabilities, supervised: Logits, weights: Float[Array, "b ..."]) -> jax.Array:
    """½(cross-entropy + soft Dice) against the reference's most probable class."""
    return losses.overlap_loss(supervised, label_of(reference), weights)


def divergence(reference: Probabilities, supervised: Logits, weights: Float[Array, "b ..."]) -> jax.Array:
    """KL(reference ‖ supervised) in nats; the gradient flows into both where the host stops neither."""
    # The floor is far below any float32 softmax that matters, and keeps 0·log 0 out.
    said = jnp.log(jnp.maximum(reference, 1e-12))
    return _mean((reference * (said - jax.nn.log_softmax(supervised, -1))).sum(-1), weights)
