"""Perturbations of a net's features, `[b, *px, c]`, for auxiliary decoders and feature streams.

Cross-consistency training (CCT; Ouali et al. 2020, arXiv 2003.09005, section 3.2) has all three; UniMatch
(Yang et al. 2023, arXiv 2208.09910) has the dropout of channels, UAPS (Computers in Industry 2023) that of
elements.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Features = Float[Array, "b *px c"]


def feature_noise(key: PRNGKeyArray, features: Features, reach: float = 0.3) -> Features:
    """x + x·u with u uniform in ±reach, drawn for each element."""
    u = jax.random.uniform(key, features.shape, minval=-reach, maxval=reach)
    return features * (1 + u).astype(features.dtype)


def feature_dropout(key: PRNGKeyArray, features: Features, rate: float) -> Features:
    """Whole channels set to 0, each with probability `rate` and per sample; the others times 1/(1 − rate).

    Raises:
        ValueError: `rate` is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"feature_dropout: rate {rate}, expected at least 0 and less than 1")
    b, *px, c = features.shape
    keep = jax.random.bernoulli(key, 1 - rate, (b, *(1 for _ in px), c))
    return features * (keep / (1 - rate)).astype(features.dtype)


def element_dropout(key: PRNGKeyArray, features: Features, rate: float) -> Features:
    """Single elements set to 0, each with probability `rate`; the others times 1/(1 − rate).

    Raises:
        ValueError: `rate` is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"element_dropout: rate {rate}, expected at least 0 and less than 1")
    keep = jax.random.bernoulli(key, 1 - rate, features.shape)
    return features * (keep / (1 - rate)).astype(features.dtype)


def attention_drop(key: PRNGKeyArray, features: Features, low: float = 0.7, high: float = 0.9) -> Features:
    """Set the pixels to 0 on which the sample's features are strongest.

    These are the pixels whose mean over the channels is above a share of its maximum over the sample, the
    share uniform in low..high and drawn per sample. A sample without a positive mean is left as it is.
    """
    # In float32: the comparison below decides pixel by pixel, and bfloat16 would tie many of them.
    attention = features.astype(jnp.float32).mean(-1, keepdims=True)
    axes = tuple(range(1, features.ndim))
    share = jax.random.uniform(key, (len(features), *(1 for _ in axes)), minval=low, maxval=high)
    return jnp.where(attention > share * attention.max(axes, keepdims=True), 0, features)
