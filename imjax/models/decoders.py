"""Main and auxiliary decoders of one encoder, with perturbed features and feature taps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from flax import linen as nn

Features = Sequence[jax.Array]
"""Feature maps of an encoder, shallow to deep: `[b, *spatial, c]`, each half as large as the last."""
Hook = Callable[[list[jax.Array]], Features]
"""Encoder features → features for a decoder, of the same shapes except for the batch axis."""


def run_decoders(
    net: nn.Module,
    decode: Callable[[Features], tuple[jax.Array, jax.Array]],
    features: Features,
    hook: Hook | None,
    perturb: Sequence[Hook],
) -> Any:
    """Logits of a net's main decoder, and with `perturb` of its auxiliary ones.

    If the collection "taps" is mutable, the deepest of `features` is sown there as "encoder" and the main
    decoder's last features as "decoder".

    Args:
        net: has `auxiliaries`, the number of its auxiliary decoders; all are built at initialization.
        decode: features → (logits, features before the head). Each call creates the layers of a new decoder,
            the main one first.
        features: of the encoder.
        hook: changes the input of the main decoder; None: unchanged.
        perturb: one per auxiliary decoder, each changes that decoder's input; or none.

    Returns:
        Logits; with `perturb` `(logits, [auxiliary logits])`.

    Raises:
        ValueError: `perturb` has another number of functions than there are auxiliary decoders.
    """
    if perturb and len(perturb) != net.auxiliaries:
        raise ValueError(f"{len(perturb)} perturbations for {net.auxiliaries} auxiliary decoders")
    logits, last = decode(hook(list(features)) if hook else features)
    if not net.is_initializing():
        # Not at initialization: taps would become part of the net's variables.
        for name, value in (("encoder", features[-1]), ("decoder", last)):
            net.sow("taps", name, value, reduce_fn=lambda _, new: new, init_fn=lambda: None)
    elif not perturb:
        # Called for their parameters only: flax creates those of the layers that are called.
        for _ in range(net.auxiliaries):
            decode(features)
    auxiliary = [decode(change(list(features)))[0] for change in perturb]
    return (logits, auxiliary) if perturb else logits
