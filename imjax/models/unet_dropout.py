"""The U-Net of the SSL4MIS benchmark, after Ronneberger et al. 2015 (arXiv 1505.04597).

Filters, dropout and LeakyReLU are those of the semi-supervised medical benchmark on which the papers of the
joint-training methods compare. Images and volumes differ in the number of spatial axes only.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from imjax.models.convolution import choose_convolution
from imjax.models.decoders import Features, Hook, run_decoders
from imjax.models.layers import Norm, Up, he_normal, max_pool, scale_input


class Stage(nn.Module):
    """Convolution 3, batch normalization (ε 1e-5), LeakyReLU(0.01), dropout; and again without dropout.

    Attributes:
        features: filters of both convolutions, which have a bias and are He-normal at the start.
        dropout: rate between the two. Needs an rng "dropout".
        momentum, dtype, convolution: as in `UNetDropout`.
    """

    features: int
    dropout: float
    momentum: float
    dtype: Any
    convolution: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """`[b, *spatial, c]` → `[b, *spatial, features]`."""
        sizes = (3,) * (x.ndim - 2)
        convolve = choose_convolution(self.convolution, len(sizes))
        conv = functools.partial(
            nn.Conv, dtype=self.dtype, kernel_init=he_normal, conv_general_dilated=convolve
        )
        for rate in (self.dropout, 0.0):
            x = conv(self.features, sizes)(x)
            x = nn.leaky_relu(Norm(self.momentum, epsilon=1e-5)(x, train), negative_slope=0.01)
            x = nn.Dropout(rate, deterministic=not train)(x)
        return x


class Decoder(nn.Module):
    """From the encoder's features back to the size of the image.

    Attributes: as in `UNetDropout`.
    """

    outputs: int
    momentum: float
    dtype: Any
    convolution: str

    @nn.compact
    def __call__(self, features: Features, train: bool) -> tuple[jax.Array, list[jax.Array]]:
        """Features, shallow to deep → float32 logits, and the features of each stage, coarse to fine."""
        *skips, x = features
        stages = []
        for skip in reversed(skips):
            width = skip.shape[-1]
            x = jnp.concatenate([skip, Up(width, self.dtype)(x)], -1)
            x = Stage(width, 0.0, self.momentum, self.dtype, self.convolution)(x, train)
            stages.append(x)
        return predict(x, self.outputs, self.convolution), stages


def predict(x: jax.Array, outputs: int, convolution: str, name: str | None = None) -> jax.Array:
    """Float32 logits of features by a new 3×3 head, a layer of the module that calls this."""
    sizes = (3,) * (x.ndim - 2)
    head = nn.Conv(
        outputs,
        sizes,
        kernel_init=nn.initializers.glorot_uniform(),
        conv_general_dilated=choose_convolution(convolution, len(sizes)),
        name=name,
    )
    # In float32: losses and thresholds on confidences need exact logits.
    return head(x.astype(jnp.float32))


class UNetDropout(nn.Module):
    """U-Net with concatenated skips, for images or for volumes; 1 813 764 parameters for 1 → 4 channels.

    Attributes:
        outputs: channels of the logits.
        features: filters of the encoder's stages, shallow to deep; each halves the sides of the last.
        dropouts: rate of each of these stages. Needs an rng "dropout".
        dims: spatial axes, 2 or 3.
        auxiliaries: number of auxiliary decoders with weights of their own (CCT, arXiv 2003.09005).
        momentum: of the running batch statistics: the share of the old value that a step keeps.
        dtype: of the computation; parameters, statistics and logits stay float32.
        convolution: how convolutions are computed, see `choose_convolution`.
        pyramid: whether the auxiliary decoders are heads on the main decoder's coarser features (URPC).
    """

    outputs: int
    features: tuple[int, ...] = (16, 32, 64, 128, 256)
    dropouts: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5)
    dims: int = 2
    auxiliaries: int = 0
    momentum: float = 0.9
    dtype: Any = jnp.float32
    convolution: str = "auto"
    pyramid: bool = False

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool = False, hook: Hook | None = None, perturb: Sequence[Hook] = ()
    ) -> Any:
        """Segment images.

        Args:
            images: uint8, or float in 0..1, `[b, *spatial, c]`; sides are multiples of 2^(stages − 1).
            train: normalize by the batch, and apply dropout.
            hook: changes the encoder's feature maps, one per stage, before the main decoder; it may change
                the batch axis.
            perturb: one such function for each auxiliary decoder, or none.

        Returns:
            Float32 logits `[b, *spatial, outputs]`; with `perturb` `(logits, [auxiliary logits])`. The
            collection "taps" gets the deepest features, "encoder", and those before the head, "decoder".

        Raises:
            ValueError: the images' axes or sides do not fit, or `perturb` has another length than there are
                auxiliary decoders.
        """
        self._check_shape(images)
        x = scale_input(images, self.dtype)
        features: list[jax.Array] = []
        for width, dropout in zip(self.features, self.dropouts, strict=True):
            x = max_pool(x) if features else x
            x = Stage(width, dropout, self.momentum, self.dtype, self.convolution)(x, train)
            features.append(x)

        def decode(features):
            return Decoder(self.outputs, self.momentum, self.dtype, self.convolution)(features, train)

        def head(x, name):
            return predict(x, self.outputs, self.convolution, name)

        return run_decoders(self, decode, head, features, hook, perturb)

    def _check_shape(self, images: jax.Array) -> None:
        factor = 2 ** (len(self.features) - 1)
        if images.ndim != self.dims + 2 or any(side % factor for side in images.shape[1:-1]):
            raise ValueError(
                f"UNetDropout: images of shape {images.shape}, expected [b, {self.dims} sides, c] with "
                f"sides that are multiples of {factor}"
            )
