"""EvalNet(α): predicts the IoU of a mask from image and mask (Vorndran & Roeck 2024, arXiv 2401.14387)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from imjax.data.spec import LabelKind
from imjax.models.layers import Conv, Norm, max_pool, scale_input

BLOCKS = (16, 32, 64, 128, 256)


class EvalNet(nn.Module):
    """Image branch and mask branch, concatenated, then blocks down to IoU and detection per output.

    Attributes:
        kind: of the labels: planes of the mask, and heads; binary has the IoU head only.
        outputs: classes or channels of the mask.
        width: factor on the number of filters (α).
        momentum, dtype, convolution: as in `UNet`.
    """

    kind: LabelKind
    outputs: int
    width: float = 1.0
    momentum: float = 0.99
    dtype: Any = jnp.float32
    convolution: str = "auto"

    @nn.compact
    def __call__(
        self, images: jax.Array, masks: jax.Array, train: bool = False
    ) -> tuple[jax.Array, jax.Array | None]:
        """Predict the quality of masks.

        Args:
            images: uint8 `[b, h, w, c]`, h and w at least 64.
            masks: uint8 labels, `[b, h, w]` (binary, multiclass) or `[b, h, w, k]` (multilabel).
            train: normalize by the batch.

        Returns:
            Float32 logits `[b, k]` of the IoU (k = 1 for binary), and of the detection or None.
        """

        def conv(x, size, base):
            return Conv(size, int(base * self.width), self.dtype, self.convolution)(x)

        def block(x, base):
            return max_pool(Norm(self.momentum)(conv(conv(x, 3, base), 1, base), train))

        def branch(x):
            return block(Norm(self.momentum)(conv(x, 1, 16), train), 16)

        x = jnp.concatenate([branch(scale_input(images, self.dtype)), branch(self._planes(masks))], -1)
        for base in BLOCKS:
            x = block(x, base)
        # Heads in float32 whatever the type of the features: their outputs rank masks that differ little.
        x = x.mean((1, 2)).astype(jnp.float32)
        heads = 1 if self.kind == "binary" else self.outputs

        def head(name):
            # Glorot-uniform where every other layer, U-Net's head too, is He-normal: as published.
            return nn.Dense(heads, kernel_init=nn.initializers.glorot_uniform(), name=name)(x)

        return head("iou"), None if self.kind == "binary" else head("detection")

    def _planes(self, masks: jax.Array) -> jax.Array:
        """Masks as planes of 0 and 1, `[b, h, w, k]`."""
        if self.kind == "multiclass":
            return jax.nn.one_hot(masks, self.outputs, dtype=self.dtype)
        planes = masks if self.kind == "multilabel" else masks[..., None]
        return planes.astype(self.dtype)
