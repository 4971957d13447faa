"""U-Net(α) of the Inconsistency Masks study (Vorndran & Roeck, arXiv 2401.14387; method.md 1.4)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from imjax.models.layers import Conv, Norm, max_pool, scale_input, upsample

ENCODER = (16, 32, 64, 128)
DECODER = ((128, 64), (64, 32), (32, 16), (16, 16))


class UNet(nn.Module):
    """One U-Net with additive skips; every filter count is `int(base * alpha)`.

    Attributes:
        outputs: channels of the logits.
        alpha: width multiplier; 1 with 9 outputs has about 0.68 M trainable parameters.
        dropout: rate after the 1×1 convolution of each block; 0 in the study. Needs an rng "dropout".
        momentum: of the running batch statistics.
        dtype: of the computation; parameters, statistics and logits stay float32.
    """

    outputs: int
    alpha: float = 1.0
    dropout: float = 0.0
    momentum: float = 0.99
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """uint8 `[b, h, w, c]`, h and w multiples of 16 → float32 logits `[b, h, w, outputs]`."""

        def conv(x, size, base):
            return Conv(size, int(base * self.alpha), self.dtype)(x)

        def norm(x):
            return Norm(self.momentum, self.dtype)(x, train)

        def drop(x):
            return nn.Dropout(self.dropout, deterministic=not train)(x)

        x = norm(conv(scale_input(images, self.dtype), 1, 16))
        skips = []
        for base in ENCODER:
            x = norm(drop(conv(conv(x, 3, base), 1, base)))
            skips.append(x)
            x = max_pool(x)
        x = norm(drop(conv(conv(x, 3, 256), 1, 128)))
        for (base, last), skip in zip(DECODER, reversed(skips), strict=True):
            x = norm(conv(upsample(x) + skip, 1, base))
            x = norm(drop(conv(conv(x, 3, base), 1, last)))
        logits = nn.Dense(self.outputs, kernel_init=nn.initializers.glorot_uniform())
        return logits(x.astype(jnp.float32))
