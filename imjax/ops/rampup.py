"""How the weight of the unlabeled loss grows from nearly nothing to its peak.

Sigmoid-shaped ramp of Laine & Aila 2017 (arXiv 1610.02242, section 3), in the units of methods.md 2.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float32, Int


def ramp(step: Int[Array, ""] | int, peak: float | int, steps: int, unit: int = 1) -> Float32[Array, ""]:
    """peak·exp(−5(1 − min(t, T)/T)²) with t = ⌊step/unit⌋ and T = steps/unit: constant within a unit.

    Rises from peak·e⁻⁵ = 0.0067·peak to the peak, which it reaches at `steps` and keeps.

    Args:
        step: training steps done so far, from 0; may be traced.
        peak: the weight at the end (0.1 in methods.md 2).
        steps: length of the ramp in training steps (30 000); 0: the peak from the start.
        unit: training steps that share one weight (150).

    Raises:
        ValueError: negative `steps`, or a unit below 1.
    """
    if steps < 0 or unit < 1:
        raise ValueError(f"ramp: {steps} steps in units of {unit}, expected at least 0 and at least 1")
    if steps == 0:
        return jnp.float32(peak)
    done = jnp.minimum(jnp.asarray(step) // unit * unit / steps, 1)
    return (peak * jnp.exp(-5 * jnp.square(1 - done))).astype(jnp.float32)
