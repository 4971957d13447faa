"""From probabilities to labels: one net's label, and the vote of several nets or views.

Vorndran & Roeck 2024 (arXiv 2401.14387): Model Ensemble and Input Ensemble.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, UInt8

Kind = Literal["binary", "multiclass", "multilabel"]
Label = UInt8[Array, "h w"] | UInt8[Array, "h w k"]
Labels = UInt8[Array, "*px"] | UInt8[Array, "*px k"]
"""Of an image or a volume."""


def probabilities(kind: Kind, logits: Float[Array, "*b h w k"]) -> Float32[Array, "*b h w k"]:
    """Logits → softmax (multiclass) or sigmoid of each output."""
    logits = logits.astype(jnp.float32)
    return jax.nn.softmax(logits, -1) if kind == "multiclass" else jax.nn.sigmoid(logits)


def label_of_logits(kind: Kind, logits: Float[Array, "*b h w k"]) -> UInt8[Array, ...]:
    """`probabilities_to_label` without computing the probabilities; any leading axes."""
    if kind == "multiclass":
        return jnp.argmax(logits, -1).astype(jnp.uint8)
    if kind == "binary":
        return (logits[..., 0] > 0).astype(jnp.uint8)
    # ≥ where binary has >: the same thresholds as of the probabilities, at exactly one half too.
    return (logits >= 0).astype(jnp.uint8)


def probabilities_to_label(kind: Kind, probabilities: Float[Array, "*px k"]) -> Labels:
    """Label of one net; of volumes likewise.

    Binary (k = 1): p > 0.5, `[h, w]`. Multiclass: argmax, `[h, w]`. Multilabel: p ≥ 0.5, `[h, w, k]`.

    Raises:
        ValueError: binary with k other than 1.
    """
    if kind == "binary":
        if probabilities.shape[-1] != 1:
            raise ValueError(
                f"probabilities_to_label: binary needs one output, got {probabilities.shape[-1]}"
            )
        return (probabilities[..., 0] > 0.5).astype(jnp.uint8)
    if kind == "multiclass":
        return probabilities.argmax(-1).astype(jnp.uint8)
    return (probabilities >= 0.5).astype(jnp.uint8)


def mean_vote(kind: Kind, probabilities: Float[Array, "n *px k"]) -> Labels:
    """`probabilities_to_label` of the members' mean probability: argmax, or the threshold of the kind."""
    return probabilities_to_label(kind, probabilities.mean(0))


def unanimous_vote(kind: Kind, probabilities: Float[Array, "n h w k"]) -> Label:
    """Hard vote of binary and multilabel members: 1 where every one of them has 1 by its own threshold."""
    labels = jax.vmap(lambda p: probabilities_to_label(kind, p))(probabilities)
    return labels.astype(bool).all(0).astype(jnp.uint8)


def vote(kind: Kind, probabilities: Float[Array, "n h w k"]) -> Labels:
    """Model Ensemble's label: `unanimous_vote` for binary, `mean_vote` for multiclass and multilabel."""
    return unanimous_vote(kind, probabilities) if kind == "binary" else mean_vote(kind, probabilities)
