"""Which layers to compare: names, paths or patterns, looked for among the layers of a model and all its modules."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from cka_plugin.adapters import Layer
from cka_plugin.adapters import registry as adapters
from cka_plugin.adapters.base import GRANULARITIES
from cka_plugin.wording import listed


@dataclass(frozen=True)
class Selection:
    """The layers chosen of one model.

    Attributes:
        layers: in the order of the network.
        named: paths of those that were asked for by name or path; they must run, those that fit a pattern need not.
        missed: what fitted nothing in this model.
        listed: all of them are layers of the granularity asked for, so that their order is known.
    """

    layers: list[Layer]
    named: frozenset[str]
    missed: list[str]
    listed: bool


def select(model: nn.Module, granularity: str, wanted: Iterable[str], name: str) -> Selection:
    """The layers of a model that fit names, paths or patterns (`*`, `?`, `[...]`).

    Each is looked for among the layers of the granularity, then of the other granularities, then among all modules.

    Raises:
        ValueError: none of them fits.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 3))
        >>> [layer.path for layer in select(net, "module", ["2.*", "head", "2"], "net").layers]
        ['2.0', '2.1', '2', '3']
    """
    entries = list(wanted)
    found: dict[str, Layer] = {}
    named: set[str] = set()
    left, beyond = entries, False
    order: dict[str, float] = {}
    for number, candidates in enumerate(_listings(model, granularity)):
        order |= {layer.path: layer.depth for layer in candidates if layer.path not in order}
        still = []
        for entry in left:
            fitting = [layer for layer in candidates if _fits(entry, layer)]
            found |= {layer.path: layer for layer in fitting if layer.path not in found}
            named |= {layer.path for layer in fitting if not _is_pattern(entry)}
            beyond |= bool(fitting) and number > 0
            if not fitting:
                still.append(entry)
        left = still
        if not left:
            break
    if not found:
        raise ValueError(no_such_layers(left, name, adapters.layers(model, granularity)))
    chosen = sorted(found.values(), key=lambda layer: layer.depth) if beyond else list(found.values())
    if not beyond:
        place = {layer.path: position for position, layer in enumerate(adapters.layers(model, granularity))}
        chosen.sort(key=lambda layer: place[layer.path])
    return Selection(chosen, frozenset(named), left, not beyond)


def fitting(wanted: Iterable[str], layers: Sequence[Layer]) -> list[int]:
    """Positions of the layers that fit any of the names, paths or patterns."""
    entries = list(wanted)
    return [i for i, layer in enumerate(layers) if any(_fits(entry, layer) for entry in entries)]


def no_such_layers(entries: Sequence[str], name: str, layers: Sequence[Layer]) -> str:
    """What to say of names, paths or patterns that fit no layer."""
    known = [layer.name for layer in layers]
    near = difflib.get_close_matches(entries[0], [*known, *(layer.path for layer in layers)], n=3, cutoff=0.6)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    what = ", ".join(map(repr, entries))
    return f"layers {what} fit nothing in {name}: it has {listed(known)}, and its modules by their paths{hint}"


def _listings(model: nn.Module, granularity: str) -> Iterator[list[Layer]]:
    """The layers of the granularity, of the others, and all modules, each with its depth."""
    yield adapters.layers(model, granularity)
    for other in GRANULARITIES:
        if other != granularity:
            try:
                yield adapters.layers(model, other)
            except ValueError:  # a model without blocks
                continue
    leaf_depths = {layer.path: layer.depth for layer in adapters.layers(model, "module")}
    everything = []
    for path, _ in model.named_modules():
        inside = [depth for leaf, depth in leaf_depths.items() if leaf == path or leaf.startswith(f"{path}.")]
        if path and inside:
            everything.append(Layer(path, path, "module", max(inside)))
    yield everything


def _is_pattern(entry: str) -> bool:
    return any(character in entry for character in "*?[")


def _fits(entry: str, layer: Layer) -> bool:
    if entry in (layer.name, layer.path):
        return True
    return _is_pattern(entry) and (fnmatchcase(layer.name, entry) or fnmatchcase(layer.path, entry))
