"""U-Net(α) of Inconsistency Masks (Vorndran & Roeck 2024, arXiv 2401.14387)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from imjax.models.convolution import head_product
from imjax.models.decoders import Hook, run_decoders
from imjax.models.layers import Conv, Norm, he_normal, max_pool, scale_input, upsample

ENCODER = (16, 32, 64, 128)
DECODER = ((128, 64), (64, 32), (32, 16), (16, 16))


class UNet(nn.Module):
    """U-Net with additive skips; every filter count is `int(base * width)`.

    Attributes:
        outputs: channels of the logits.
        width: factor on the number of filters (α); 1 with 9 outputs has about 0.68 M trainable parameters.
        dropout: rate after the 1×1 convolution of each block; 0 in the paper. Needs an rng "dropout".
        momentum: of the running batch statistics.
        dtype: of the computation; parameters, statistics and logits stay float32.
        auxiliaries: number of auxiliary decoders with weights of their own (CCT, arXiv 2003.09005).
        convolution: how k×k convolutions are computed, see `choose_convolution`.
        pyramid: whether the auxiliary decoders are heads on the main decoder's coarser features (URPC).
    """

    outputs: int
    width: float = 1.0
    dropout: float = 0.0
    momentum: float = 0.99
    dtype: Any = jnp.float32
    auxiliaries: int = 0
    convolution: str = "auto"
    pyramid: bool = False

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool = False, hook: Hook | None = None, perturb: Sequence[Hook] = ()
    ) -> Any:
        """Segment images.

        Args:
            images: uint8, or float in 0..1, `[b, h, w, c]`, h and w multiples of 16.
            train: normalize by the batch, and apply dropout.
            hook: changes the encoder's five feature maps, shallow to deep, before the decoder; it may change
                the batch axis.
            perturb: one such function for each auxiliary decoder, or none.

        Returns:
            Float32 logits `[b, h, w, outputs]`; with `perturb` `(logits, [auxiliary logits])`. The collection
            "taps" gets the deepest features, "encoder", and those before the head, "decoder".

        Raises:
            ValueError: `perturb` has another length than there are auxiliary decoders.
        """

        def conv(x, size, base):
            return Conv(size, int(base * self.width), self.dtype, self.convolution)(x)

        def norm(x):
            return Norm(self.momentum)(x, train)

        def drop(x):
            return nn.Dropout(self.dropout, deterministic=not train)(x)

        x = norm(conv(scale_input(images, self.dtype), 1, 16))
        features = []
        for base in ENCODER:
            x = norm(drop(conv(conv(x, 3, base), 1, base)))
            features.append(x)
            x = max_pool(x)
        features.append(norm(drop(conv(conv(x, 3, 256), 1, 128))))

        def head(x, name=None):
            # In float32: losses and thresholds on confidences need exact logits.
            product = head_product(self.convolution)
            dense = nn.Dense(self.outputs, kernel_init=he_normal, dot_general=product, name=name)
            return dense(x.astype(jnp.float32))

        def decode(features):
            *skips, x = features
            stages = []
            for (base, last), skip in zip(DECODER, reversed(skips), strict=True):
                x = norm(conv(upsample(x) + skip, 1, base))
                x = norm(drop(conv(conv(x, 3, base), 1, last)))
                stages.append(x)
            return head(x), stages

        return run_decoders(self, decode, head, features, hook, perturb)
