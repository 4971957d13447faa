"""Ramp-up of the consistency loss's weight.

Sigmoid-shaped, of Laine & Aila 2017 (arXiv 1610.02242, section 3), in steps of constant weight as in the
SSL4MIS benchmark.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float32, Int


def sigmoid_rampup(
    step: Int[Array, ""] | int, max_weight: float | int, steps: int, update_every: int = 1
) -> Float32[Array, ""]:
    """max_weight·exp(−5(1 − min(t, T)/T)²) with t = ⌊step/update_every⌋ and T = steps/update_every.

    Rises from max_weight·e⁻⁵ = 0.0067·max_weight to max_weight, which it reaches at `steps` and then keeps.

    Args:
        step: training steps done so far, from 0; may be traced.
        max_weight: the weight at the end (0.1 in the benchmark).
        steps: length of the ramp-up in training steps (30 000); 0: max_weight from the start.
        update_every: training steps that share one weight (150).

    Raises:
        ValueError: negative `steps`, or `update_every` below 1.
    """
    if steps < 0 or update_every < 1:
        raise ValueError(
            f"sigmoid_rampup: {steps} steps in units of {update_every}, expected at least 0 and at least 1"
        )
    if steps == 0:
        return jnp.float32(max_weight)
    done = jnp.minimum(jnp.asarray(step) // update_every * update_every / steps, 1)
    return (max_weight * jnp.exp(-5 * jnp.square(1 - done))).astype(jnp.float32)
