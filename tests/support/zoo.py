"""A zoo for tests: small networks that can be sent to other processes, one of which may kill the process it runs in."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import cka_plugin as cka

OPTIONS: dict[str, Any] = {"batch_size": 16, "granularity": "module", "progress": False}


def data() -> Tensor:
    return torch.randn(160, 6, generator=torch.Generator().manual_seed(0))


def network(seed: int, width: int = 8) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3))


class Deadly(nn.Module):
    """A network that kills its process in a forward pass in the middle, unless a file is there that says it did."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self.net = network(5)
        self.mark = Path(mark)
        calls: list[int] = []
        self.count = lambda: calls.append(1) or len(calls)  # behind a function: a lent model is put back

    def forward(self, x: Tensor) -> Tensor:
        if self.count() > 5 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.net(x)


def zoo(mark: Path) -> dict[str, Any]:
    """Two networks, one of them deadly until the mark is there, by functions that any executor can send."""
    return {"deadly": partial(Deadly, str(mark)), "other": partial(network, 1)}


def same_bits(a: Path, b: Path) -> bool:
    """Whether two files hold the same vectors, examples and predictions."""
    first, second = cka.Representation.load(a), cka.Representation.load(b)
    pairs = [*zip(first.vectors, second.vectors, strict=True), (first.fingerprints, second.fingerprints)]
    pairs += [*zip(first.diagonals, second.diagonals, strict=True), (first.logits, second.logits)]
    return first.layers == second.layers and all(np.array_equal(x, y) for x, y in pairs)
