"""Layers are listed in the order in which they fire."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cka_plugin.adapters import adapter_of, layers
from cka_plugin.adapters.order.firing import firing_order
from cka_plugin.capture.hooks import Capture, Watched
from tests.support.generic_nets import (
    Block,
    describe,
    named,
)


class Backwards(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(6, 2)
        self.body = nn.ModuleList(Block() for _ in range(2))
        self.unused = nn.Linear(6, 6)
        self.inlet = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inlet(x)
        for one in reversed(self.body):
            x = one(x)
        return self.out(x)


class Forked(nn.Module):
    """Its way depends on the values of its data."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(6, 2)
        self.body = nn.ModuleList(Block() for _ in range(2))
        self.inlet = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inlet(x)
        if x.sum() > 0:
            x = -x
        for one in self.body:
            x = one(x)
        return self.out(x)


def test_layers_are_listed_as_they_fire_not_as_they_are_defined() -> None:
    assert named(Backwards()) == {"stem": "inlet", "blocks.0": "body.1", "blocks.1": "body.0", "head": "out"}
    assert "in the order of firing" in describe(Backwards())


def test_where_the_way_depends_on_data_the_source_gives_the_order() -> None:
    assert firing_order(Forked(), ["inlet", "out"]) is None
    assert list(named(Forked()).values()) == ["inlet", "body.0", "body.1", "out"]
    assert "source" in describe(Forked())


def test_following_the_forward_pass_leaves_no_trace() -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(3, 3)
            self.register_buffer("calls", torch.zeros(()))
            self.seen: list[Any] = []
            self.last: Any = None

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            x = self.lin(x)
            self.seen.append(x)
            self.last = x
            torch.rand(3)
            return x

    model = Keeps().train()
    model.lin.register_forward_hook(lambda *args: pytest.fail("a hook of the user's was called"))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    weight, state = model.lin.weight, torch.get_rng_state()
    assert firing_order(model, ["lin"]) == ["lin"]
    assert (model.seen, model.last, model.training) == ([], None, True)
    assert model.lin.weight is weight
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert "forward" not in vars(model.lin)


def test_a_block_called_three_times_is_three_layers() -> None:
    class Looped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inlet, self.layers, self.out = nn.Linear(4, 6), nn.ModuleList([Block()] * 3), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.inlet(x)
            for one in self.layers:
                x = one(x)
            return self.out(x)

    model = Looped()
    assert list(named(model)) == ["stem", "blocks.0", "head"]
    with Capture(Watched(model, adapter_of(model), layers(model), discover=True)) as capture:
        capture.run(torch.randn(4, 4), 4)
    assert [layer.name for layer in capture.layers] == ["stem", "blocks.0", "blocks.0@1", "blocks.0@2", "head"]
    depths = [layer.depth for layer in capture.layers]
    assert depths == sorted(depths)


def test_blocks_that_their_owner_reaches_into_are_not_listed() -> None:
    class Reaches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.out = nn.ModuleList(Block() for _ in range(2)), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            for one in self.layers:
                x = x + one.down(one.up(x))
            return self.out(x)

    assert list(named(Reaches()).values()) == ["layers.0.up", "layers.0.down", "layers.1.up", "layers.1.down", "out"]
