"""A U-Net on EfficientNet-Lite0 in PyTorch, as one would write it there; `peers_torch.Training` trains it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from benchmarks import data

STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
"""Blocks, kernel, stride, expansion and features."""
DECODER = (256, 128, 64, 32, 16)


def norm(features: int) -> nn.BatchNorm2d:
    """Batch normalization; PyTorch's momentum is the share of the new."""
    return nn.BatchNorm2d(features, eps=data.EPSILON, momentum=1 - data.MOMENTUM)


def convolution(
    channels: int,
    features: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    norm: Callable[[int], nn.Module] = norm,
) -> list[nn.Module]:
    """SAME convolution and normalization; with stride 2 on even sides padded as TensorFlow does."""
    margin = kernel - stride
    pad = [nn.ZeroPad2d((margin // 2, margin - margin // 2) * 2)] if margin > 0 else []
    conv = nn.Conv2d(channels, features, kernel, stride, groups=groups, bias=False)
    return [*pad, conv, norm(features)]


class MBConv(nn.Module):
    """Inverted residual block."""

    def __init__(self, channels: int, features: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        inner = channels * expansion
        expand = [*convolution(channels, inner, 1), nn.ReLU6(True)] if expansion != 1 else []
        depthwise = [*convolution(inner, inner, kernel, stride, inner), nn.ReLU6(True)]
        self.path = nn.Sequential(*expand, *depthwise, *convolution(inner, features, 1))
        self.residual = stride == 1 and channels == features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.path(x) if self.residual else self.path(x)


class UNet(nn.Module):
    """Float images 0..1 `[b, 3, h, w]` → logits `[b, outputs, h, w]`.

    Args:
        outputs: classes.
        alpha: factor on the decoder's filters.
        decoder_norm: features → normalization in the decoder.
    """

    def __init__(self, outputs: int, alpha: float = 1.0, decoder_norm: Callable[[int], nn.Module] = norm):
        super().__init__()
        self.stem = nn.Sequential(*convolution(3, 32, 3, 2), nn.ReLU6(True))
        channels, blocks, skips = 32, [], []
        for repeats, kernel, stride, expansion, features in STAGES:
            for i in range(repeats):
                if stride == 2 and not i:
                    skips.append(channels)
                blocks.append(MBConv(channels, features, kernel, 1 if i else stride, expansion))
                channels = features
        self.blocks = nn.ModuleList(blocks)
        up = []
        for base, skip in zip(DECODER, [*reversed(skips), 0], strict=True):
            features = int(base * alpha)
            first = convolution(channels + skip, features, 3, norm=decoder_norm)
            second = convolution(features, features, 3, norm=decoder_norm)
            up.append(nn.Sequential(*first, nn.ReLU(True), *second, nn.ReLU(True)))
            channels = features
        self.up = nn.ModuleList(up)
        self.head = nn.Conv2d(channels, outputs, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = x.shape[-2:]
        x = self.stem((x * 255 - 127) / 128)
        skips = []
        for block in self.blocks:
            below = block(x)
            if below.shape[-1] != x.shape[-1]:
                skips.append(x)
            x = below
        for block in self.up:
            # By size: of five columns the encoder makes three.
            x = functional.interpolate(x, skips[-1].shape[-2:] if skips else size)
            x = block(torch.cat([x, skips.pop()], 1) if skips else x)
        return self.head(x)
