"""A new block structure fails, and says where."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.regression.baseline import make_baseline
from tests.support.planted import planted, smooth_drift


class Replay(nn.Module):
    """A network whose layers return what was made for the example whose number comes in."""

    class Layer(nn.Module):
        def __init__(self, rows: np.ndarray) -> None:
            super().__init__()
            self.rows = nn.Parameter(torch.from_numpy(rows).float(), requires_grad=False)

        def forward(self, number: torch.Tensor) -> torch.Tensor:
            return self.rows[number[:, 0].long()]

    def __init__(self, layers: list[np.ndarray]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(map(self.Layer, layers))

    def forward(self, number: torch.Tensor) -> torch.Tensor:
        return [block(number) for block in self.blocks][-1]


def test_a_new_block_structure_fails_and_says_where() -> None:
    without = smooth_drift(np.random.default_rng(0), layers=16, examples=256)
    with_one = planted(np.random.default_rng(0), layers=16, examples=256)
    numbers = torch.arange(256.0)[:, None]
    off = {"min_cka": -1.0, "max_churn": None}
    made = make_baseline(Replay(without.layers), numbers, progress=False)
    result = cka.check(Replay(with_one.layers), made, numbers, **off)
    assert len(result.failures) == 1
    assert result.failures[0].startswith("a block structure that the baseline does not have, blocks.")
    assert cka.check(Replay(with_one.layers), made, numbers, block_structure=False, **off).passed
    known = make_baseline(Replay(with_one.layers), numbers, progress=False)
    assert cka.check(Replay(with_one.layers), known, numbers, **off).passed
    assert cka.check(Replay(without.layers), known, numbers, **off).passed  # one that went is no failure
