"""A run that keeps its minibatches: how often its model ran, and whether two of them gave the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor, nn

import cka_plugin as cka
from tests.support.nets import ConvNet


class Counting(nn.Module):
    """A network that counts the minibatches it runs over, and stops in one of them.

    Its first minibatch comes twice: with the examples in another order too, by which their rows are told.
    """

    def __init__(self, seed: int = 0, stop_at: int | None = None) -> None:
        super().__init__()
        self.net, self.stop_at = ConvNet(seed=seed), stop_at
        # Behind a function, where it is out of reach: what a pass does to attributes and what they hold is undone.
        seen: set[tuple[float, ...]] = set()
        self.see = lambda x: seen.add(tuple(sorted(x[:, 0, 0, 0].tolist()))) or len(seen)
        self.count = lambda: len(seen)

    @property
    def runs(self) -> int:
        return self.count()

    def forward(self, x: Tensor) -> Tensor:
        if self.see(x) == self.stop_at:
            raise KeyboardInterrupt
        return self.net(x)


def same(a: cka.Representation, b: cka.Representation) -> bool:
    arrays = [(a.fingerprints, b.fingerprints), (a.exponents, b.exponents), (a.logits, b.logits), (a.labels, b.labels)]
    arrays += [*zip(a.vectors, b.vectors, strict=True), *zip(a.diagonals, b.diagonals, strict=True)]
    arrays += [*zip(a.positions, b.positions, strict=True)]
    alike = all(np.array_equal(x, y) if x is not None else y is None for x, y in arrays)
    return alike and a.layers == b.layers and a.example_ids == b.example_ids and a.options == b.options


def options(folder: Path | None = None) -> dict:
    return {
        "labels": [i % 5 for i in range(64)],
        "batch_size": 8,
        "granularity": "module",
        "checkpoint_dir": folder,
        "progress": False,
    }
