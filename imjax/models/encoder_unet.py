"""A U-Net decoder on an encoder with weights from ImageNet.

The decoder is that of segmentation_models.pytorch (Iakubovskii 2019), the field's usual one: nearest-neighbor
upsampling, concatenated skips, two 3×3 convolutions per stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from imjax.models.convolution import choose_convolution, choose_upsampled
from imjax.models.decoders import Features, Hook, run_decoders
from imjax.models.efficientnet import EPSILON, EfficientNetLite, Scaling
from imjax.models.layers import BatchNorm, he_normal, upsample
from imjax.models.network import ENCODER
from imjax.models.unet_dropout import predict

DECODER = (256, 128, 64, 32, 16)
"""Filters of the decoder's stages, coarse to fine, before `width`."""


class UpsampledConv(nn.Module):
    """Upsample, concatenate the skip, convolve 3×3, SAME, without bias.

    Attributes:
        features: filters.
        dtype, convolution: as in `EncoderUNet`.
    """

    features: int
    dtype: Any
    convolution: str

    @nn.compact
    def __call__(self, x: jax.Array, skip: jax.Array | None, size: tuple[int, int]) -> jax.Array:
        """`[b, ⌈h/2⌉, ⌈w/2⌉, c]`, skip `[b, h, w, d]` or none, size (h, w) → `[b, h, w, features]`."""
        x, skip = x.astype(self.dtype), None if skip is None else skip.astype(self.dtype)
        c = x.shape[-1]
        channels = c if skip is None else c + skip.shape[-1]
        kernel = self.param("kernel", he_normal, (3, 3, channels, self.features))
        # Predictions pass weights as numpy arrays.
        kernel = jnp.asarray(kernel, self.dtype)
        convolve_upsampled = choose_upsampled(self.convolution, x.shape[1:3])
        # The encoder rounds odd sides up when it halves them.
        if convolve_upsampled and size == (2 * x.shape[1], 2 * x.shape[2]):
            y = convolve_upsampled(x, kernel[:, :, :c])
            return y if skip is None else y + self._convolve(skip, kernel[:, :, c:])
        x = upsample(x)[:, : size[0], : size[1]]
        return self._convolve(x if skip is None else jnp.concatenate([x, skip], -1), kernel)

    def _convolve(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        convolve = choose_convolution(self.convolution, 2) or jax.lax.conv_general_dilated
        return convolve(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


class DecoderStage(nn.Module):
    """Upsample, concatenate the skip, twice convolution 3, batch normalization, ReLU; then dropout.

    Attributes:
        features: filters.
        dropout, momentum, dtype, convolution: as in `EncoderUNet`.
    """

    features: int
    dropout: float
    momentum: float
    dtype: Any
    convolution: str

    @nn.compact
    def __call__(self, x: jax.Array, skip: jax.Array | None, size: tuple[int, int], train: bool) -> jax.Array:
        """`[b, ⌈h/2⌉, ⌈w/2⌉, c]`, skip `[b, h, w, d]` or none, size (h, w) → `[b, h, w, features]`."""
        settings = self.features, self.dtype, self.convolution
        x = UpsampledConv(*settings, name="conv1")(x, skip, size)
        x = nn.relu(BatchNorm(self.momentum, EPSILON, name="bn1")(x, train))
        x = nn.Conv(
            self.features, (3, 3), use_bias=False, dtype=self.dtype, kernel_init=he_normal, name="conv2",
            conv_general_dilated=choose_convolution(self.convolution, 2),
        )(x)  # fmt: skip
        x = nn.relu(BatchNorm(self.momentum, EPSILON, name="bn2")(x, train))
        return nn.Dropout(self.dropout, deterministic=not train)(x)


class UNetDecoder(nn.Module):
    """From the encoder's features to logits of the image's size.

    Attributes: as in `EncoderUNet`.
    """

    outputs: int
    width: float
    dropout: float
    momentum: float
    dtype: Any
    convolution: str

    @nn.compact
    def __call__(
        self, features: Features, size: tuple[int, int], train: bool
    ) -> tuple[jax.Array, list[jax.Array]]:
        """Features, shallow to deep, → float32 logits `[b, *size, outputs]`, and those of each stage."""
        *skips, x = features
        stages = []
        for i, base in enumerate(DECODER, 1):
            skip = skips.pop() if skips else None
            settings = self.dropout, self.momentum, self.dtype, self.convolution
            stage = DecoderStage(int(base * self.width), *settings, name=f"stage{i}")
            h, w = size if skip is None else skip.shape[1:3]
            x = stage(x, skip, (h, w), train)
            stages.append(x)
        return predict(x, self.outputs, self.convolution, "head"), stages


class EncoderUNet(nn.Module):
    """U-Net of an EfficientNet-Lite encoder, for images of any size and number of channels.

    Attributes:
        outputs: channels of the logits.
        scaling: of the encoder, one of `efficientnet.VARIANTS`.
        width: factor on the decoder's filters (α); the encoder is as it was trained.
        dropout: rate after each stage of the decoder. Needs an rng "dropout".
        auxiliaries: number of auxiliary decoders with weights of their own (CCT, arXiv 2003.09005).
        momentum: of the running batch statistics.
        dtype: of the computation; parameters, statistics and logits stay float32.
        convolution: how convolutions are computed, see `choose_convolution`.
        pyramid: whether the auxiliary decoders are heads on the main decoder's coarser features (URPC).
    """

    outputs: int
    scaling: Scaling
    width: float = 1.0
    dropout: float = 0.0
    auxiliaries: int = 0
    momentum: float = 0.99
    dtype: Any = jnp.float32
    convolution: str = "auto"
    pyramid: bool = False

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool = False, hook: Hook | None = None, perturb: Sequence[Hook] = ()
    ) -> Any:
        """Segment images.

        Args:
            images: uint8, or float in 0..1, `[b, h, w, c]`; with `pyramid` h and w are multiples of 16.
            train: normalize by the batch, and apply dropout.
            hook: changes the encoder's five feature maps, shallow to deep, before the main decoder; it may
                change the batch axis.
            perturb: one such function for each auxiliary decoder, or none.

        Returns:
            Float32 logits `[b, h, w, outputs]`; with `perturb` `(logits, [auxiliary logits])`. The collection
            "taps" gets the deepest features, "encoder", and those before the head, "decoder".

        Raises:
            ValueError: `perturb` has another length than there are auxiliary decoders.
        """
        settings = self.momentum, self.dtype, self.convolution
        size = images.shape[1], images.shape[2]
        features = EfficientNetLite(self.scaling, *settings, name=ENCODER)(images, train)

        def decode(features):
            decoder = UNetDecoder(self.outputs, self.width, self.dropout, *settings)
            return decoder(features, size, train)

        def head(x, name):
            return predict(x, self.outputs, self.convolution, name)

        return run_decoders(self, decode, head, features, hook, perturb)
