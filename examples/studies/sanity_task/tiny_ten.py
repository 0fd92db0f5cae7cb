"""The CNN that Kornblith et al. 2019 call Tiny-10 (appendix E)."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

SIZE, CLASSES = 24, 14  # pixels of a crop, photographs
# (channels, kernel, stride, padding) of each convolution
LAYERS = [(16, 3, 1, 1)] * 2 + [(32, 3, 2, 1)] + [(32, 3, 1, 1)] * 2 + [(64, 3, 2, 1), (64, 3, 1, 0), (64, 1, 1, 0)]


class TinyTen(nn.Module):
    """Eight convolutions, each with batch norm and ReLU, the mean over places, and the logits."""

    def __init__(self) -> None:
        super().__init__()
        blocks, inner = [], 3
        for outer, kernel, stride, padding in LAYERS:
            convolution = nn.Conv2d(inner, outer, kernel, stride, padding, bias=False)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            blocks.append(nn.Sequential(convolution, nn.BatchNorm2d(outer), nn.ReLU()))
            inner = outer
        self.blocks = nn.ModuleList(blocks)
        self.pool, self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(inner, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(self.pool(x))


def load(path: Path) -> TinyTen:
    """A network as `train` left it, in eval mode."""
    net = TinyTen()
    state = load_file(path)
    net.load_state_dict({key: value.to(net.state_dict()[key].dtype) for key, value in state.items()})
    return net.eval()
