"""Small networks that do what real ones do: in-place ReLU, `+=`, shared modules, tuples and dicts as outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """A residual block whose output is changed in place after its modules have run."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.act2 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        y += x
        return self.act2(y)


class ConvNet(nn.Module):
    """stem, three residual blocks, pooling, head."""

    def __init__(self, width: int = 6, classes: int = 5, blocks: int = 3, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.stem = nn.Conv2d(3, width, 3, padding=1)
            self.blocks = nn.Sequential(*[Residual(width) for _ in range(blocks)])
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.head = nn.Linear(width, classes)
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean.normal_()
                    module.running_var.uniform_(0.5, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.blocks(self.stem(x))).flatten(1))


class Repeats(nn.Module):
    """One module called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.shared = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for _ in range(3):
            x = torch.tanh(self.shared(x))
        return self.head(x)


def images(n: int = 70, size: int = 8, seed: int = 0) -> Tensor:
    """(n, 3, size, size) with something in common between the pixels of an image."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, size, size, generator=generator) + torch.randn(n, 3, 1, 1, generator=generator)
