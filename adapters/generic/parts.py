"""A model in parts: its blocks and what stands beside them, in the order in which they fire."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from cka_plugin.adapters.generic.runs import has_weights, is_pure, join, weight_count
from cka_plugin.adapters.layer import Layer
from cka_plugin.adapters.modules import fires, is_leaf, is_norm, leaves
from cka_plugin.adapters.naming import spread_depths
from cka_plugin.adapters.order.calls import call_order
from cka_plugin.adapters.order.firing import firing_order

# A module that holds more than this share of a network's weights is the network, and is opened.
DOMINANT = 0.8

_NO_HEAD = re.compile(r"Norm|Embedding|RNN|LSTM|GRU")


@dataclass(frozen=True)
class Parts:
    """What there is to name in a model.

    Attributes:
        model: the model.
        blocks: paths of its blocks, as far as they fire.
        calls: how often each part is called, in the order of the first calls; where the forward pass cannot be followed
            without data, once each, in the order in which its source names them.
        followed: whether it could be followed.
    """

    model: nn.Module
    blocks: frozenset[str]
    calls: dict[str, int]
    followed: bool

    @classmethod
    def of(cls, model: nn.Module, blocks: Collection[str] = ()) -> Parts:
        """Take `model` apart around `blocks`, and further where a part never fires as a whole."""
        opened: set[str] = set()
        while True:
            parts = list(_parts(model, blocks, opened))
            order = firing_order(model, parts)
            silent = set(parts).difference(blocks, parts if order is None else order)
            silent = {path for path in silent if not is_leaf(model.get_submodule(path))}
            if not silent:
                break
            opened |= silent
        calls = dict(Counter(parts if order is None else order))
        return cls(model, frozenset(blocks) & set(calls), calls, order is not None)

    @cached_property
    def place(self) -> dict[str, int]:
        """The position of every part that fires."""
        return {path: position for position, path in enumerate(self.calls)}

    @cached_property
    def weighted(self) -> list[str]:
        """The parts that have weights and are no blocks."""
        return [path for path in self.calls if path not in self.blocks and has_weights(self.module(path))]

    @cached_property
    def head(self) -> tuple[str, str] | None:
        """The last part with weights, and the last layer with weights in it; None where that is a block or a norm."""
        last = max((self.place[path] for path in self.blocks), default=-1)
        if not self.weighted or self.place[self.weighted[-1]] < last:
            return None
        part = self.weighted[-1]
        path, leaf = [(p, leaf) for p, leaf in leaves(self.module(part), part) if has_weights(leaf)][-1]
        return None if _NO_HEAD.search(type(leaf).__name__) else (part, path)

    def module(self, path: str) -> nn.Module:
        """The module at `path`."""
        return self.model.get_submodule(path)

    def by_path(self, path: str) -> Layer:
        """A part that goes by its path."""
        return Layer(path, path, "norm" if is_norm(self.module(path)) else "module", 0.0)

    def in_order(self, layers: Sequence[tuple[int, Layer]]) -> list[Layer]:
        """Layers by their positions, with depths, every name once."""
        taken: set[str] = set()
        unique = []
        for _, layer in sorted(layers, key=lambda pair: pair[0]):
            name = f"module.{layer.name}" if layer.name in taken else layer.name
            taken.add(name)
            unique.append(Layer(name, layer.path, layer.kind, 0.0))
        return spread_depths(unique)


def _parts(model: nn.Module, blocks: Collection[str], opened: Collection[str]) -> Iterator[str]:
    """Blocks, leaves and closed modules, in the order of the source of each `forward`.

    Opened is, beside `opened`, what holds blocks; behind the last block also `Sequential`s, for the final norm and the
    head. Where there are no blocks, lists are opened, and what holds nearly all of the model's weights.
    """
    around = {".".join(path.split(".")[:k]) for path in blocks for k in range(path.count(".") + 1)}
    most = DOMINANT * weight_count(model)
    to_come = set(blocks)
    seen: set[int] = set()

    def walk(path: str, module: nn.Module) -> Iterator[str]:
        if id(module) in seen or isinstance(module, nn.Identity):
            return
        seen.add(id(module))
        to_come.discard(path)
        is_open = not path or path in around or path in opened or not fires(module)
        is_open = is_open or (is_pure(module) and not to_come) or (not blocks and weight_count(module) > most)
        if is_open and path not in blocks and not is_leaf(module):
            for name, child in _children(module):
                yield from walk(join(path, name), child)
        elif path and fires(module):
            yield path

    return walk("", model)


def _children(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """The children in the order in which the source of `forward` names them, if it names all that have weights.

    Others (a loss, a metric) take no part in it. Lists, and what is called by computed names, keep the order of
    definition.
    """
    children = dict(module.named_children())
    if is_pure(module):
        return list(children.items())
    named = [name for name in call_order(module) if name in children]
    if any(has_weights(child) for name, child in children.items() if name not in named):
        return list(children.items())
    return [(name, children[name]) for name in named]


__all__ = ["DOMINANT", "Parts"]
