"""What of a model is compared: the whole or a part, all layers of a granularity or those that are named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from cka_plugin.adapters import Layer
from cka_plugin.adapters import registry as adapters
from cka_plugin.models.part import part_of, runs_by_itself
from cka_plugin.models.selection import Selection, select
from cka_plugin.options import Options


@dataclass(frozen=True)
class Chosen:
    """What of a model is compared.

    Attributes:
        root: what runs, as it was given; of something without a forward pass of its own, the part.
        looked_at: whose layers are compared, without its wrappers.
        layers: paths are those of `root`.
        named: paths of those that were asked for by name or path.
        missed: what was asked for and fits nothing.
        in_order: all of them run, in this order.
    """

    root: nn.Module
    looked_at: nn.Module
    layers: list[Layer]
    named: frozenset[str]
    missed: tuple[str, ...]
    in_order: bool


def choose(model: Any, options: Options, name: str) -> Chosen:
    """The layers of a model that `granularity`, `part` and `layers` choose.

    Args:
        model: a module, or what holds one at the path `options.part`.
        options: of this model.
        name: of the model, for messages.

    Raises:
        ValueError: the model has no such part, none of the layers, or layers that cannot be told.
    """
    part = None if options.part is None else part_of(model, str(options.part), name)
    if part is None:
        found = _selected(model, options, name)
        return Chosen(model, adapters.unwrap(model)[0], found.layers, found.named, tuple(found.missed), found.listed)
    found = _selected(part, options, name)
    if not runs_by_itself(model):
        return Chosen(part, part, found.layers, found.named, tuple(found.missed), found.listed)
    path = f"{adapters.unwrap(model)[1]}{options.part}"
    layers = [replace(layer, path=_below(path, layer.path)) for layer in found.layers]
    named = frozenset(_below(path, inside) for inside in found.named)
    # The whole may use the part otherwise than it would run by itself, and leave out its head.
    return Chosen(model, part, layers, named, tuple(found.missed), in_order=False)


def _selected(model: nn.Module, options: Options, name: str) -> Selection:
    if options.layers is None:
        return Selection(adapters.layers(model, options.granularity), frozenset(), [], listed=True)
    return select(model, options.granularity, options.layers, name)  # type: ignore[arg-type]


def _below(path: str, inside: str) -> str:
    return f"{path}.{inside}" if inside else path
