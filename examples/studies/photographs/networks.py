"""Residual networks as He et al. 2016 have them for CIFAR, of any depth and width, and plain ones without shortcuts."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and the shortcut around them; `residual=False` leaves the shortcut out."""

    def __init__(self, inner: int, outer: int, stride: int = 1, residual: bool = True) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer)
        self.conv2, self.bn2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer)
        self.act1, self.act2 = nn.ReLU(), nn.ReLU()
        self.residual = residual
        self.downsample: nn.Module | None = None
        if residual and (stride > 1 or inner != outer):
            self.downsample = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        if self.residual:
            y = y + (x if self.downsample is None else self.downsample(x))
        return self.act2(y)


class ResNet(nn.Module):
    """Three stages of (depth - 2) / 6 blocks with 16, 32 and 64 times `width` channels.

    Args:
        depth: layers with weights along the longest path: 8, 14, 20, 26, 32, 38, 56, 110, ...
        width: a multiple of the channels, 0.5 for half of them.
        classes: of the head.
        residual: False leaves all shortcuts out.
    """

    def __init__(self, depth: int, width: float = 1, classes: int = 14, residual: bool = True) -> None:
        super().__init__()
        if (depth - 2) % 6:
            raise ValueError(f"depth {depth}: expected 6 n + 2, such as 8, 14, 38 or 110")
        blocks, inner = (depth - 2) // 6, int(16 * width)
        self.conv1, self.bn1, self.act1 = nn.Conv2d(3, inner, 3, 1, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU()
        for stage in range(3):
            outer, parts = int(16 * width) * 2**stage, []
            for block in range(blocks):
                parts.append(BasicBlock(inner, outer, 2 if stage and not block else 1, residual))
                inner = outer
            self.add_module(f"layer{stage + 1}", nn.Sequential(*parts))
        self.fc = nn.Linear(inner, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.bn1(self.conv1(x)))
        for stage in range(1, 4):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class PlainReLU(nn.Module):
    """A plain fully connected ReLU network: `depth` hidden layers of `width` units, without norms or shortcuts."""

    def __init__(self, depth: int = 16, width: int = 256, features: int = 3 * 24 * 24, classes: int = 14) -> None:
        super().__init__()
        sizes = [features, *[width] * depth]
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(sizes))
        self.head = nn.Linear(width, classes)
        for block in self.blocks:
            nn.init.kaiming_normal_(block[0].weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(x, 1)
        for block in self.blocks:
            x = block(x)
        return self.head(x)
