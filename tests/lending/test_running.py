"""A model is lent: it runs as under `torch.no_grad()`, and comes back able to train."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cka_plugin as cka
from cka_plugin.adapters.base import Layer
from cka_plugin.adapters.generic.adapter import GenericAdapter
from cka_plugin.capture.hooks import Capture, Watched
from tests.support import reference


@functools.lru_cache
def table(width: int) -> Tensor:
    return torch.linspace(0.5, 1.5, width)


KEPT: dict[int, Tensor] = {}  # a global, as rotary embeddings have


class Caching(nn.Module):
    """Makes a table on its first call and keeps it somewhere."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where, self.kept, self.pair, self.table = where, {}, (), None
        self.lift, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lift(x).tanh() * self.find(x.shape[1]))

    def find(self, width: int) -> Tensor:
        if self.where == "lru_cache":
            return table(width)
        if self.where == "tuple":
            self.pair = self.pair or (table.__wrapped__(width), width)
            return self.pair[0]
        if self.where == "attribute":
            self.table = table.__wrapped__(width) if self.table is None else self.table
            return self.table
        kept: dict[Any, Tensor] = self.kept if self.where == "dict" else KEPT
        if width not in kept:
            kept[width] = table.__wrapped__(width)
        return kept[width]


@pytest.mark.parametrize("where", ["attribute", "dict", "tuple", "lru_cache", "global"])
def test_a_model_trains_after_it_cached_tensors_while_compared(where: str) -> None:
    table.cache_clear()
    KEPT.clear()
    net, x = Caching(where), torch.randn(32, 6)
    cka.represent(net, x, batch_size=16, progress=False)
    net(x).sum().backward()
    assert net.lift.weight.grad is not None


def test_a_model_trains_after_it_was_compared_inside_inference_mode() -> None:
    net, x = Caching("dict"), torch.randn(32, 6)
    with torch.inference_mode():
        cka.represent(net, x, batch_size=16, progress=False)
    net(x).sum().backward()
    assert net.lift.weight.grad is not None


class Force(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lift, self.energy = nn.Linear(6, 16), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.energy(torch.tanh(self.lift(x))).sum(), x)[0]


def test_a_forward_may_take_gradients_inside() -> None:
    net, x = Force().eval(), torch.randn(32, 6)
    found = cka.compare({"net": net}, data=x, batch_size=32, granularity="module", progress=False)
    batch = x[torch.tensor(found["net"].example_ids)]
    kept = reference.activations(Layers(net), ["net.lift", "net.energy"], [batch])
    expected = reference.minibatch_cka(kept["net.lift"], kept["net.energy"])
    assert found.matrix("net")[0, 1] == pytest.approx(expected, abs=1e-6)


class Layers(nn.Module):
    """The same layers without the gradients, which the reference cannot take."""

    def __init__(self, net: Force) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net.energy(torch.tanh(self.net.lift(x)))


def test_features_of_a_forward_that_takes_gradients_are_kept() -> None:
    net = Force()
    layers = [Layer("lift", "lift", "module", 0.0)]
    with Capture(Watched(net, GenericAdapter(), layers), features=True) as capture:
        captured = capture.run(torch.randn(8, 6), 8)
    assert captured.features is not None
    assert np.isfinite(captured.features[0]).all()


def test_a_training_step_in_an_outer_autocast_finds_gradients_after_a_comparison() -> None:
    net, x = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), torch.randn(32, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cka.represent(net, x, batch_size=16, precision="bfloat16", progress=False)
        net(x).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
