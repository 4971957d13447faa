"""EfficientNet-Lite as an encoder (Tan & Le 2019, arXiv 1905.11946; Lite: TensorFlow's TPU models, 2020).

Lite is EfficientNet without squeeze-and-excitation and with ReLU6; width and depth scale all but the stem,
and neither the first stage's depth nor the last one's. Padding and names follow the Keras implementation, so
that published weights fit (`imjax.models.imagenet`). The classifier's head is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from imjax.models.convolution import choose_convolution, choose_depthwise, choose_product
from imjax.models.layers import BatchNorm, he_normal, scale_input

EPSILON = 1e-3
"""Of batch normalization."""
STEM = 32
"""Filters of the first convolution, whatever the width."""


class Scaling(NamedTuple):
    """Factors on the filters and on the blocks of a stage."""

    width: float
    depth: float


VARIANTS = {
    "efficientnet_lite0": Scaling(1.0, 1.0),
    "efficientnet_lite1": Scaling(1.0, 1.1),
    "efficientnet_lite2": Scaling(1.1, 1.2),
}


class Block(NamedTuple):
    """An inverted residual block (MBConv), Sandler et al. 2018, arXiv 1801.04381."""

    name: str
    kernel: int
    stride: int
    expansion: int
    features: int


STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel, stride of the first block, expansion and features, before scaling (Tan & Le, table 1)."""


def list_blocks(scaling: Scaling) -> Iterator[Block]:
    """All blocks in order; the names are those of Keras: `block2a` is the second stage's first."""
    for number, (repeats, kernel, stride, expansion, features) in enumerate(STAGES, 1):
        if number not in (1, len(STAGES)):
            repeats = math.ceil(repeats * scaling.depth)
        for i in range(repeats):
            name = f"block{number}{'abcdefgh'[i]}"
            yield Block(name, kernel, 1 if i else stride, expansion, round_filters(features, scaling.width))


def round_filters(filters: int, width: float) -> int:
    """The multiple of 8 nearest to `filters * width`, and not more than a tenth below it."""
    scaled = filters * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8


class MBConv(nn.Module):
    """Expand by a 1×1 convolution, convolve each channel by itself, project by another 1×1 convolution.

    Attributes:
        block: sizes.
        momentum, dtype, convolution: as of `EfficientNetLite`.
    """

    block: Block
    momentum: float
    dtype: Any
    convolution: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """`[b, h, w, c]` → `[b, ⌈h/stride⌉, ⌈w/stride⌉, features]`."""

        def norm(x, name):
            return BatchNorm(self.momentum, EPSILON, name=name)(x, train)

        def pointwise(x, features, name):
            # As a matrix product, see `layers.Conv`.
            return nn.Dense(
                features, use_bias=False, dtype=self.dtype, kernel_init=he_normal, name=name,
                dot_general=choose_product(self.convolution),
            )(x)  # fmt: skip

        block, inputs = self.block, x
        if block.expansion != 1:
            x = pointwise(x, block.expansion * x.shape[-1], "expand_conv")
            x = nn.relu6(norm(x, "expand_bn"))
        x = nn.Conv(
            x.shape[-1], (block.kernel,) * 2, block.stride, feature_group_count=x.shape[-1], use_bias=False,
            dtype=self.dtype, kernel_init=he_normal, name="dwconv",
            conv_general_dilated=choose_depthwise(self.convolution),
        )(x)  # fmt: skip
        x = nn.relu6(norm(x, "dwconv_bn"))
        x = norm(pointwise(x, block.features, "project_conv"), "project_bn")
        return x + inputs if x.shape == inputs.shape else x


class EfficientNetLite(nn.Module):
    """The encoder: five feature maps; 2.96 million parameters of Lite0, 3.72 of Lite1 and 4.36 of Lite2.

    Attributes:
        scaling: one of `VARIANTS`.
        momentum: of the running batch statistics.
        dtype: of the computation; parameters and statistics stay float32.
        convolution: how convolutions are computed, see `choose_convolution`.
    """

    scaling: Scaling
    momentum: float = 0.99
    dtype: Any = jnp.float32
    convolution: str = "auto"

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> list[jax.Array]:
        """Features of images, shallow to deep.

        Args:
            images: uint8, or float in 0..1, `[b, h, w, c]` of any size and number of channels.
            train: normalize by the batch.

        Returns:
            The last features at strides 2, 4, 8, 16 and 32, before an activation; of Lite0 with 16, 24, 40,
            112 and 320 channels.
        """
        x = normalize_input(images).astype(self.dtype)
        x = nn.Conv(
            STEM, (3, 3), 2, use_bias=False, dtype=self.dtype, kernel_init=he_normal, name="stem_conv",
            conv_general_dilated=choose_convolution(self.convolution, 2),
        )(x)  # fmt: skip
        x = nn.relu6(BatchNorm(self.momentum, EPSILON, name="stem_bn")(x, train))
        features: list[jax.Array] = []
        for block in list_blocks(self.scaling):
            if block.stride == 2:
                features.append(x)
            x = MBConv(block, self.momentum, self.dtype, self.convolution, name=block.name)(x, train)
        return [*features, x]


def normalize_input(images: jax.Array) -> jax.Array:
    """uint8, or float 0..1, → float32, (x − 127)/128 of gray levels 0..255, as in the encoder's training."""
    return (scale_input(images, jnp.float32) * 255 - 127) / 128
