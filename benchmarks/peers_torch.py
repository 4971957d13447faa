"""The study's network in PyTorch, as one would write it there, and its training."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from benchmarks import data, peers_torch_encoder

ENCODER = (16, 32, 64, 128)
DECODER = ((128, 64), (64, 32), (32, 16), (16, 16))


class Conv(nn.Sequential):
    """Convolution, SAME, with bias and He-normal weights, and ReLU."""

    def __init__(self, size: int, channels: int, features: int):
        conv = nn.Conv2d(channels, features, size, padding=size // 2)
        nn.init.kaiming_normal_(conv.weight)
        nn.init.zeros_(conv.bias)
        super().__init__(conv, nn.ReLU(inplace=True))


def norm(features: int) -> nn.BatchNorm2d:
    """Batch normalization; PyTorch's momentum is the share of the new."""
    return nn.BatchNorm2d(features, eps=data.EPSILON, momentum=1 - data.MOMENTUM)


class UNet(nn.Module):
    """U-Net(α) with additive skips; float images 0..1 `[b, 3, h, w]` → logits `[b, outputs, h, w]`."""

    def __init__(self, outputs: int, alpha: float = 1.0):
        super().__init__()
        width = lambda base: int(base * alpha)  # noqa: E731
        self.stem = nn.Sequential(Conv(1, 3, width(16)), norm(width(16)))
        before, down = width(16), []
        for f in map(width, ENCODER):
            down.append(nn.Sequential(Conv(3, before, f), Conv(1, f, f), norm(f)))
            before = f
        self.down = nn.ModuleList(down)
        f, before = width(256), width(128)
        self.bottom = nn.Sequential(Conv(3, before, f), Conv(1, f, before), norm(before))
        up = []
        for f, g in DECODER:
            f, g = width(f), width(g)
            up.append(nn.Sequential(Conv(1, before, f), norm(f), Conv(3, f, f), Conv(1, f, g), norm(g)))
            before = g
        self.up = nn.ModuleList(up)
        self.head = nn.Conv2d(before, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = block(functional.interpolate(x, scale_factor=2) + skip)
        return self.head(x)


def parameters(net: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


class Training:
    """Training steps of one net.

    Args:
        size: side of the images in pixels.
        batch: images per step.
        alpha: width.
        channels_last: memory layout of images and weights.
        compiled: by `torch.compile`.
        device: where; on "cuda" the computation is bfloat16 by `torch.autocast` if `dtype` says so.
        dtype: of the computation.
        images: in the training set.
        backbone: `config.model.backbone`, the study's U-Net or the one on EfficientNet-Lite0.
    """

    def __init__(
        self,
        size: int,
        batch: int,
        alpha: float = 1.0,
        channels_last: bool = True,
        compiled: bool = False,
        images: int = 64,
        device: str = "cpu",
        dtype: str = "float32",
        backbone: str = "unet_residual",
    ):
        torch.manual_seed(0)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._device, self._dtype = device, getattr(torch, dtype)
        torch.backends.cudnn.benchmark = device != "cpu"
        make = UNet if backbone == "unet_residual" else peers_torch_encoder.UNet
        net = make(data.OUTPUTS, alpha).to(device, memory_format=self._format).train()
        self.facts = {"parameters": parameters(net), "threads": torch.get_num_threads()}
        self._net = torch.compile(net) if compiled else net
        # PyTorch multiplies the decay by the rate.
        self._optimizer = torch.optim.AdamW(
            net.parameters(), lr=data.RATE, eps=data.ADAM_EPSILON, weight_decay=data.DECAY / data.RATE
        )
        pictures, labels = data.noise(images, size)
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device)
        self._images = pixels.contiguous(memory_format=self._format)
        self._labels = torch.from_numpy(labels).long().to(device)
        self._batch = batch

    def run(self, repeats: int) -> int:
        """So many steps; images."""
        for _ in range(repeats):
            chosen = torch.randint(len(self._images), (self._batch,), device=self._device)
            x = self._images[chosen].to(torch.float32, memory_format=self._format) / 255
            with torch.autocast(self._device, self._dtype, enabled=self._dtype != torch.float32):
                loss = functional.cross_entropy(self._net(x).float(), self._labels[chosen])
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
        if self._device == "cuda":
            torch.cuda.synchronize()
            self.facts["peak_bytes"] = torch.cuda.max_memory_allocated()
        return repeats * self._batch


class StudentForward:
    """Several nets that are asked about one image at a time."""

    def __init__(self, members: int, alpha: float):
        torch.manual_seed(0)
        made = [UNet(data.OUTPUTS, alpha).eval() for _ in range(members)]
        self._nets = [net.to(memory_format=torch.channels_last) for net in made]

    @torch.inference_mode()
    def labels(self, image) -> list:
        """Classes that each net gives to an image uint8 `[h, w, 3]`, uint8 `[h, w]`."""
        x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        x = x.contiguous(memory_format=torch.channels_last)
        return [net(x)[0].argmax(0).to(torch.uint8).numpy() for net in self._nets]
