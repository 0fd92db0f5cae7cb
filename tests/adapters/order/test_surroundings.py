"""Looking at a model leaves no placeholder anywhere: not in globals, class attributes or caches of functions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cka_plugin as cka
from cka_plugin.adapters.order.surroundings import surroundings_kept

TABLES: dict[str, Any] = {}
NESTED: dict[str, dict[str, Any]] = {"of": {}}
MADE = False


@functools.lru_cache
def kept_list() -> list[Any]:
    return []


@functools.lru_cache
def table(width: int) -> Tensor:
    return torch.linspace(0.5, 1.5, width)


def in_globals(x: Tensor) -> Tensor:
    if "table" not in TABLES:
        TABLES["table"] = torch.linspace(0.5, 1.5, x.shape[1])
    return TABLES["table"]


def in_a_dict_of_dicts(x: Tensor) -> Tensor:
    return NESTED["of"].setdefault("table", torch.linspace(0.5, 1.5, x.shape[1]))


def in_a_global(x: Tensor) -> Tensor:
    global MADE
    if not MADE:
        TABLES["other"] = torch.ones(x.shape[1])
        MADE = True
    return TABLES["other"]


def in_a_class_attribute(x: Tensor) -> Tensor:
    if Net.table is None:
        Net.table = torch.linspace(0.5, 1.5, x.shape[1])
    return Net.table


def in_a_cached_list(x: Tensor) -> Tensor:
    found = kept_list()
    if not found:
        found.append(torch.linspace(0.5, 1.5, x.shape[1]))
    return found[0]


def by_a_cached_function(x: Tensor) -> Tensor:
    return table(x.shape[1])


class Net(nn.Module):
    """Makes a table on its first call, and keeps it somewhere outside of itself."""

    table: Any = None

    def __init__(self, keep: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.lift, self.head, self.keep = nn.Linear(6, 6), nn.Linear(6, 3), keep

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.lift(x)) * self.keep(x))


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    global MADE
    TABLES.clear()
    NESTED["of"].clear()
    kept_list.cache_clear()
    table.cache_clear()
    MADE, Net.table = False, None


@pytest.mark.parametrize(
    "keep",
    [in_globals, in_a_dict_of_dicts, in_a_global, in_a_class_attribute, in_a_cached_list, by_a_cached_function],
)
def test_a_table_kept_outside_the_model_is_no_placeholder(keep: Callable[[Tensor], Tensor]) -> None:
    net, x = Net(keep), torch.randn(64, 6)
    assert [layer.path for layer in cka.layers(net)] == ["lift", "head"]
    assert net(x).shape == (64, 3)
    assert type(keep(x)) is Tensor
    cka.compare({"net": net}, data=x, progress=False)
    net(x).sum().backward()


def test_what_was_there_before_is_there_afterwards() -> None:
    TABLES["mine"] = mine = torch.ones(3)
    Net.table = "a name"
    with surroundings_kept(Net(in_globals)):
        TABLES.clear()
        NESTED["of"]["x"] = 1
        Net.table = None
        Net.more = 1  # type: ignore[attr-defined]
    assert TABLES["mine"] is mine
    assert NESTED == {"of": {}}
    assert Net.table == "a name"
    assert not hasattr(Net, "more")
