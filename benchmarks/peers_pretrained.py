"""What a user would otherwise pick, in PyTorch: a U-Net on an EfficientNet-Lite0 pretrained on ImageNet.

Written as a fair user would: the decoder of segmentation_models_pytorch (nearest upsampling, concatenation,
two 3×3 convolutions with batch normalization), ½ (cross-entropy + soft Dice), AdamW with one cycle, and the
views of imjax's strong recipe, drawn anew at each step.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers_torch_encoder import UNet
from imjax.models.imagenet import find_file
from imjax.models.torch_file import read_state_dict

HEAD = ("_conv_head.", "_bn1.", "_fc.")
"""Layers of the file that only the classifier has."""


def load_imagenet(net: UNet) -> None:
    """The encoder's weights from ImageNet, by their order, which is that of the layers."""
    theirs = read_state_dict(find_file("efficientnet_lite0"))
    kept = (theirs[name] for name in theirs if _is_weight(name) and not name.startswith(HEAD))
    own = net.state_dict()
    names = (name for name in own if _is_weight(name) and name.startswith(("stem.", "blocks.")))
    for name, value in zip(names, kept, strict=True):
        own[name].copy_(torch.from_numpy(value))


def _is_weight(name: str) -> bool:
    return not name.endswith("num_batches_tracked")


def loss(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """½ (cross-entropy + soft Dice over the classes) of label `[b, h, w]`, 255 void."""
    counted = label != 255
    cross_entropy = functional.cross_entropy(logits, label, ignore_index=255)
    true = functional.one_hot(torch.where(counted, label, 0), logits.shape[1]).permute(0, 3, 1, 2)
    weight = counted[:, None].float()
    p, true = logits.softmax(1) * weight, true * weight
    dice = (2 * (p * true).sum((0, 2, 3)) + 1e-5) / ((p * p + true).sum((0, 2, 3)) + 1e-5)
    return (cross_entropy + 1 - dice.mean()) / 2


def views(
    images: torch.Tensor, labels: torch.Tensor, rotation_invariant: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images float 0..255 `[b, 3, h, w]` and labels int64 `[b, h, w]` in random views."""
    b, (h, w) = len(images), images.shape[2:]
    draw = lambda: torch.rand(b) * 2 - 1  # noqa: E731
    step, angle = 1.5 ** -draw(), draw() * math.radians(15)
    if rotation_invariant and h == w:
        angle = angle + torch.randint(0, 4, (b,)) * (math.pi / 2)
    free = (1 - step).abs()
    mirror = torch.where(torch.rand(b) < 0.5, -1.0, 1.0)
    upside = torch.where(torch.rand(b) < 0.5, -1.0, 1.0) if rotation_invariant else torch.ones(b)
    cosine, sine = step * angle.cos(), step * angle.sin()
    theta = torch.stack(
        [
            torch.stack([mirror * cosine, -sine * h / w, draw() * free], -1),
            torch.stack([sine * w / h, upside * cosine, draw() * free], -1),
        ],
        1,
    )
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    images = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    moved = functional.grid_sample(
        labels[:, None].float(), grid, "nearest", padding_mode="reflection", align_corners=False
    )
    return photometry(images), moved[:, 0].long()


def photometry(x: torch.Tensor) -> torch.Tensor:
    """Gain, offset and saturation with chance 0.8, blur with 0.2, noise with 0.3."""
    b = len(x)
    amount = lambda limit: ((torch.rand(b) * 2 - 1) * limit * (torch.rand(b) < 0.8))[:, None, None, None]  # noqa: E731
    x = x * (1 + amount(0.3)) + amount(25.0)
    gray = x.mean(1, keepdim=True)
    x = gray + (1 + amount(0.3)) * (x - gray)
    blurred = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1)
    x = torch.where((torch.rand(b) < 0.2)[:, None, None, None], blurred, x)
    noise = torch.randn_like(x) * 8 * (torch.rand(b) < 0.3)[:, None, None, None]
    return (x + noise).clamp(0, 255)


class Peer:
    """One net, trained on pairs in memory; the epoch that is best on val is kept.

    Args:
        images, labels: uint8 `[n, h, w, c]` and `[n, h, w]`, channels 1 or 3.
        outputs: classes of the labels.
        rotation_invariant: whether up and down do not matter.
        seed: of weights and batches.
        pretrained: the encoder's weights of ImageNet, instead of random ones.
    """

    def __init__(self, images, labels, outputs: int, rotation_invariant: bool, seed: int, pretrained=True):
        torch.manual_seed(seed)
        self._images, self._labels = images, labels
        self._invariant, self._order = rotation_invariant, np.random.default_rng(seed)
        # A decoder whose statistics follow in some hundred steps, as PyTorch's own layer has it.
        net = UNet(outputs, decoder_norm=nn.BatchNorm2d)
        if pretrained:
            load_imagenet(net)
        self.net = net.to(memory_format=torch.channels_last)

    def fit(self, steps: int, batch: int, rate: float, epochs: int, score) -> float:
        """Train; `score(predictions of val's images by self.predict)` chooses the epoch; returns the best."""
        optimizer = torch.optim.AdamW(self.net.parameters(), rate, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.25)
        best, kept = -math.inf, None
        for step in range(1, steps + 1):
            at = np.resize(self._order.permutation(len(self._images)), batch)
            x, y = views(*self._tensors(at), self._invariant)
            self.net.train()
            optimizer.zero_grad()
            loss(self._logits(x), y).backward()
            optimizer.step()
            schedule.step()
            if step % max(steps // epochs, 1) == 0:
                value = score(self)
                if value > best:
                    best, kept = value, copy.deepcopy(self.net.state_dict())
        if kept is not None:
            self.net.load_state_dict(kept)
        return best

    def _tensors(self, at: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        images = np.moveaxis(self._images[at], -1, 1).astype(np.float32)
        return torch.from_numpy(_three(images)), torch.from_numpy(self._labels[at].astype(np.int64))

    def predict(self, images: np.ndarray, batch: int = 32) -> np.ndarray:
        """Most probable classes uint8 `[n, h, w]`."""
        self.net.eval()
        found = []
        with torch.no_grad():
            for start in range(0, len(images), batch):
                x = np.moveaxis(images[start : start + batch], -1, 1).astype(np.float32)
                found.append(self._logits(torch.from_numpy(_three(x))).argmax(1).numpy().astype(np.uint8))
        return np.concatenate(found)

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        """Of images 0..255."""
        return self.net(x.contiguous(memory_format=torch.channels_last) / 255)


def _three(images: np.ndarray) -> np.ndarray:
    """Gray as three equal channels."""
    return np.repeat(images, 3, 1) if images.shape[1] == 1 else images
