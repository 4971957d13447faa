"""One encoder under several decoders: what a net's decoders see, and what is tapped of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from flax import linen as nn

Features = Sequence[jax.Array]
"""Of an encoder, shallow to deep: `[b, *spatial, c]`, each half as large as the one before."""
Hook = Callable[[list[jax.Array]], Features]
"""Encoder features → features for a decoder, of the same shapes but for the batch."""


def run_decoders(
    net: nn.Module,
    decode: Callable[[Features], tuple[jax.Array, jax.Array]],
    features: Features,
    hook: Hook | None,
    perturb: Sequence[Hook],
) -> Any:
    """Logits of a net's main decoder, and of its auxiliary ones where `perturb` asks for them.

    Sows the deepest of `features` as "encoder" and the main decoder's last features as "decoder" in the
    collection "taps" where that is mutable, except at initialization: they are no part of a net's variables.

    Args:
        net: has `auxiliaries`, the number of its auxiliary decoders; all are built at initialization.
        decode: features → logits and features before the head. Each call makes the layers of a new decoder,
            the main one first.
        features: of the encoder.
        hook: acts on what the main decoder sees; None: nothing.
        perturb: one per auxiliary decoder, each acts on what that one sees of `features`; or none.

    Returns:
        Logits; with `perturb` `(logits, [auxiliary logits])`.

    Raises:
        ValueError: `perturb` has another number of functions than there are auxiliary decoders.
    """
    if perturb and len(perturb) != net.auxiliaries:
        raise ValueError(f"{len(perturb)} perturbations for {net.auxiliaries} auxiliary decoders")
    logits, last = decode(hook(list(features)) if hook else features)
    if not net.is_initializing():
        for name, value in (("encoder", features[-1]), ("decoder", last)):
            net.sow("taps", name, value, reduce_fn=lambda _, new: new, init_fn=lambda: None)
    elif not perturb:
        for _ in range(net.auxiliaries):
            decode(features)
    others = [decode(way(list(features)))[0] for way in perturb]
    return (logits, others) if perturb else logits
