"""Main and auxiliary decoders of one encoder, with perturbed features and feature taps.

In place of auxiliary decoders a net may have heads on the coarser features of its main decoder: the pyramid
of URPC (Luo et al. 2021, arXiv 2012.07042).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

Features = Sequence[jax.Array]
"""Feature maps of an encoder, shallow to deep: `[b, *spatial, c]`, each half as large as the last."""
Hook = Callable[[list[jax.Array]], Features]
"""Encoder features → features for a decoder, of the same shapes except for the batch axis."""


def run_decoders(
    net: nn.Module,
    decode: Callable[[Features], tuple[jax.Array, list[jax.Array]]],
    head: Callable[[jax.Array, str], jax.Array],
    features: Features,
    hook: Hook | None,
    perturb: Sequence[Hook],
) -> Any:
    """Logits of a net's main decoder, and with `perturb` of its auxiliary ones.

    If the collection "taps" is mutable, the deepest of `features` is sown there as "encoder" and the main
    decoder's last features as "decoder".

    Args:
        net: has `auxiliaries`, the number of its auxiliary decoders, all of which are built at
            initialization, and `pyramid`, whether they are heads on the main decoder's features instead.
        decode: features → (logits, features of the decoder's stages, coarse to fine). Each call creates the
            layers of a new decoder, the main one first.
        head: (features, name of the layer) → logits of the same size.
        features: of the encoder.
        hook: changes the input of the main decoder; None: unchanged.
        perturb: one per auxiliary decoder, each changes that decoder's input; or none. With `pyramid` each
            changes a list of one map, the input of a head, from fine to coarse.

    Returns:
        Logits; with `perturb` `(logits, [auxiliary logits])`.

    Raises:
        ValueError: `perturb` has another number of functions than there are auxiliary decoders, or the
            decoder has too few stages for the pyramid.
    """
    if perturb and len(perturb) != net.auxiliaries:
        raise ValueError(f"{len(perturb)} perturbations for {net.auxiliaries} auxiliary decoders")
    logits, stages = decode(hook(list(features)) if hook else features)
    if not net.is_initializing():
        # Not at initialization: taps would become part of the net's variables.
        # A net of one level has no stage on the way up: what its head sees comes from the encoder.
        for name, value in (("encoder", features[-1]), ("decoder", (features[-1], *stages)[-1])):
            net.sow("taps", name, value, reduce_fn=lambda _, new: new, init_fn=lambda: None)
    if net.pyramid:
        return _run_pyramid(net, head, logits, stages, perturb)
    if net.is_initializing() and not perturb:
        # Called for their parameters only: flax creates those of the layers that are called.
        for _ in range(net.auxiliaries):
            decode(features)
    auxiliary = [decode(change(list(features)))[0] for change in perturb]
    return (logits, auxiliary) if perturb else logits


def _run_pyramid(
    net: nn.Module,
    head: Callable[[jax.Array, str], jax.Array],
    logits: jax.Array,
    stages: Features,
    perturb: Sequence[Hook],
) -> Any:
    """As `run_decoders`, with heads on the stages below the last, upsampled to the size of the logits."""
    coarser = list(stages[-2::-1])[: net.auxiliaries]
    if len(coarser) < net.auxiliaries:
        raise ValueError(
            f"{net.auxiliaries} heads below the last stage of a decoder with {len(stages)} stages"
        )
    if net.is_initializing() and not perturb:
        # Called for their parameters only, as above.
        for k, x in enumerate(coarser):
            head(x, f"scale_head{k}")
    auxiliary = []
    for k, (change, x) in enumerate(zip(perturb, coarser, strict=False)):
        (changed,) = change([x])
        small = head(changed, f"scale_head{k}")
        auxiliary.append(_repeat_pixels(small, logits.shape[1] // small.shape[1]))
    return (logits, auxiliary) if perturb else logits


def _repeat_pixels(x: jax.Array, factor: int) -> jax.Array:
    """Nearest-neighbor upsampling of each spatial axis of `[b, *spatial, c]`, as in SSL4MIS."""
    for axis in range(1, x.ndim - 1):
        x = jnp.repeat(x, factor, axis)
    return x
