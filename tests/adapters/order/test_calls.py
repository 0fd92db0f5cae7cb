"""In which order a module calls its children, read from its source."""

from __future__ import annotations

import torch
from torch import nn

from cka_plugin.adapters.order.calls import around, call_order


class Written(nn.Module):
    """Registered in another order than called, with a loop, a helper and a norm that serves twice."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2)
        self.layers = nn.ModuleList([nn.Linear(2, 2)])
        self.twice = nn.LayerNorm(2)
        self.each = nn.ReLU()
        self.embed = nn.Linear(2, 2)
        self.unused = nn.Linear(2, 2)

    def start(self, x: torch.Tensor) -> torch.Tensor:
        return self.twice(self.embed(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """self.norm in a docstring is no call."""
        x = self.start(x).to(self.norm.weight.dtype)  # nor is self.unused in a comment, or an attribute read
        for layer in self.layers:
            x = self.each(layer(x))
        return self.norm(self.twice(x))


def test_children_are_in_the_order_of_their_calls() -> None:
    assert call_order(Written()) == ["embed", "twice", "layers", "each", "norm"]


def test_what_surrounds_a_loop_leaves_out_what_tells_nothing() -> None:
    assert around(Written(), "layers") == (["embed"], ["norm"])


def test_without_source_the_order_is_that_of_definition() -> None:
    namespace: dict[str, object] = {"nn": nn}
    exec("class Hidden(nn.Module):\n    def forward(self, x):\n        return x", namespace)
    hidden = namespace["Hidden"]()  # type: ignore[operator]
    hidden.first, hidden.second = nn.Linear(2, 2), nn.Linear(2, 2)
    assert call_order(hidden) == ["first", "second"]
    assert around(hidden, "second") == (["first"], [])


class Relative(nn.Module):
    """As DeBERTa's encoder: a table of positions is normalised in a method that is given nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.positions, self.norm = nn.Linear(2, 2), nn.Embedding(4, 2), nn.LayerNorm(2)
        self.layers = nn.ModuleList([nn.Linear(2, 2)])

    def table(self) -> torch.Tensor:
        return self.norm(self.positions.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, table = self.embed(x), self.table()
        for layer in self.layers:
            x = layer(x) + table.sum()
        return x


def test_what_a_method_calls_that_is_given_nothing_sees_no_activations() -> None:
    assert around(Relative(), "layers") == (["embed"], [])
