"""Any `nn.Module`: blocks are runs of like-typed modules, and what was chosen is said in a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import Adapter, Inputs, Layer, Preparation
from cka_plugin.adapters.generic.inputs import preparation_inside
from cka_plugin.adapters.generic.masks import Noted, heads_of, noting
from cka_plugin.adapters.generic.parts import Parts
from cka_plugin.adapters.generic.runs import (
    Run,
    find_bare_runs,
    find_runs,
    has_weights,
    is_weight_layer,
    join,
    weight_count,
)
from cka_plugin.adapters.known import known_owner
from cka_plugin.adapters.modules import fires, is_activation, is_norm, layer_within, module_at


class GenericAdapter(Adapter):
    """Models of no known framework, read from their tree of modules.

    - A run of like-typed modules (a list of blocks; `block1`, `block2`, ...) is `blocks.{j}`; runs within a run of
      stages (`layer1`, `layer2`, ...), or in lists that differ by a number, are `stages.{i}.blocks.{j}`; runs in
      several parts of the model are `{attribute}.blocks.{j}`.
    - In a plain network without such runs each convolution or linear layer, with the norm and activation that follow
      it, is a block.
    - What comes before the first block is `stem`, the last layer with weights `head`; everything else that has weights
      goes by its path. So does everything where there are no blocks.
    - A model of a known framework inside (a backbone with a head of one's own) keeps that framework's names.

    The order is that of firing where the forward pass can be followed without data, else that in which its source
    names the modules.
    """

    name = "generic"

    def __init__(self) -> None:
        self._noted: dict[int, Noted] = {}  # by the model that runs

    def owns(self, model: nn.Module) -> bool:
        """Every module."""
        return True

    def layers(self, model: nn.Module, granularity: str = "block") -> list[Layer]:
        """The layers of any module; never fails, as every module is at least one layer itself.

        Example:
            >>> mlp = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
            >>> [(l.name, l.path) for l in GenericAdapter().layers(mlp)]
            [('blocks.0', '1'), ('blocks.1', '3'), ('head', '4')]
        """
        return _read(model, granularity)[0]

    def describe(self, model: nn.Module) -> str:
        """What was taken for blocks, stem and head, and in which order.

        Example:
            >>> GenericAdapter().describe(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)))
            "no run of blocks found, so layers go by their paths; head is '2'; in the order of firing"
        """
        layers, grounds, followed = _read(model, "block")
        if not layers[0].path:
            return grounds
        ends = [f"{layer.name} is {layer.path!r}" for layer in layers if layer.kind in ("stem", "head")]
        order = "firing" if followed else "the source of its forward, which cannot be followed without data"
        return "; ".join([grounds, *ends, f"in the order of {order}"])

    def preparation(self, model: nn.Module) -> Preparation | None:
        """That of the known framework's model inside, where there is one; see `preparation_inside`."""
        inside = _known_inside(model)
        return None if inside is None else preparation_inside(model, *inside)

    def preparation_by(self, model: nn.Module, processor: Any) -> Preparation | None:
        """By a processor (a tokenizer) for the known framework's model inside."""
        inside = _known_inside(model)
        return None if inside is None else preparation_inside(model, *inside, processor)

    def forward(self, model: nn.Module, inputs: Inputs) -> Any:
        """Run the model, and note what tells the masks of its parts."""
        with noting(model) as noted:
            self._noted[id(model)] = noted
            try:
                return super().forward(model, inputs)
            finally:
                del self._noted[id(model)]

    def activation(self, model: nn.Module, layer: Layer, output: Any) -> Any:
        """What the adapter of a known framework's model takes of the layers inside that."""
        layer = layer_within(model, layer)
        for path in heads_of(layer.path):
            inner = module_at(model, path)
            owner = known_owner(inner)
            if owner is not None:
                return owner.activation(inner, replace(layer, path=layer.path[len(path) + 1 :]), output)
        return output

    def mask(self, model: nn.Module, layer: Layer, inputs: Inputs, length: int) -> Tensor | None:
        """What the parts around the layer were called with tells it; see `Noted.of`."""
        noted = self._noted.get(id(model))
        return None if noted is None else noted.of(model, layer_within(model, layer), inputs, length)


def _read(model: nn.Module, granularity: str) -> tuple[list[Layer], str, bool]:
    """The layers, on what grounds, and whether their order is known to be that of firing."""
    if isinstance(model, torch.jit.ScriptModule) or not any(fires(inner) for inner in list(model.modules())[1:]):
        kind = "head" if is_weight_layer(model) else "module"
        return [Layer(kind, "", kind, 0.0)], "nothing inside the model fires as a module, so it is one layer", True
    inside = _known_inside(model)
    if inside is not None:
        return _read_around(model, *inside, granularity)
    runs = find_runs(model)
    parts = Parts.of(model, [path for run in runs for path in run.blocks])
    if parts.blocks:
        return _read_runs(parts, runs, granularity)
    parts = Parts.of(model)  # anew: the owner of blocks that never fire reaches into them
    if has_weights(model) and not parts.weighted:  # an exported program
        return (
            [Layer("module", "", "module", 0.0)],
            "nothing that fires in the model has weights, so it is one layer",
            True,
        )
    bare = find_bare_runs(model)
    if bare and len(_units_beside_head(parts)) < 2:
        return _read_runs(Parts.of(model, [path for run in bare for path in run.blocks]), bare, granularity)
    return _read_plain(parts)


def _read_runs(parts: Parts, runs: Sequence[Run], granularity: str) -> tuple[list[Layer], str, bool]:
    """Blocks, in stages and towers where there are several runs; beside them stem, head, and the rest by path."""
    place = parts.place
    layers: list[tuple[int, Layer]] = []
    in_stages = tuple(f"{path}." for run in runs for path in run.stage_paths)
    beside = [path for path in place if path not in parts.blocks and not path.startswith(in_stages)]
    towers = _towers(runs)
    for tower in towers:
        stages = _stages(parts, tower.runs)
        if not stages:
            continue
        if not any(run.stage_paths for run in tower.runs) and len({run.widths(parts.model) for run in tower.runs}) == 1:
            stages = [("", [block for _, blocks in stages for block in blocks])]  # equal in width: no stages
        for i, (module, blocks) in enumerate(stages):
            stage = f"{tower.prefix}stages.{i}" if module else tower.prefix.removesuffix(".")
            if module and granularity == "stage":
                layers.append((place[blocks[-1]], Layer(stage, module, "block", 0.0)))
            else:
                layers += [(place[b], Layer(join(stage, f"blocks.{j}"), b, "block", 0.0)) for j, b in enumerate(blocks)]
        start = place[stages[0][1][0]]
        before = [path for path in beside if place[path] < start and _prefix(path, towers) == tower.prefix]
        if before:
            layers.append((place[before[-1]], Layer(f"{tower.prefix}stem", before[-1], "stem", 0.0)))
        beside = [path for path in beside if path not in before]
    if parts.head is not None:
        layers.append((place[parts.head[0]], Layer("head", parts.head[1], "head", 0.0)))
        beside = [path for path in beside if path != parts.head[0]]
    layers += [(place[path], parts.by_path(path)) for path in beside if path in parts.weighted]
    classes = ", ".join(sorted({type(parts.module(path)).__name__ for path in parts.blocks}))
    where = ", ".join(repr(run.container or "the model itself") for run in runs)
    return parts.in_order(layers), f"{len(parts.blocks)} blocks ({classes}) in {where}", parts.followed


@dataclass(frozen=True)
class _Tower:
    """The runs in one part of the model, the prefix of their names, and the paths of that part."""

    prefix: str
    runs: tuple[Run, ...]
    roots: frozenset[str]


def _towers(runs: Sequence[Run]) -> list[_Tower]:
    """Runs whose paths differ in a number only (`layers1`, `layers2`) are in one part, others in one each."""
    paths = [run.container.split(".") for run in runs]
    masked = [[re.sub(r"_?\d+", "", step) for step in path] for path in paths]
    differ = [k for k, steps in enumerate(zip_longest(*masked)) if len(set(steps)) > 1]
    if not differ:
        return [_Tower("", tuple(runs), frozenset())]
    towers: dict[str, list[tuple[Run, str]]] = {}
    for run, path, mask in zip(runs, paths, masked, strict=True):
        attribute = re.sub(r"_?(blocks?|layers?)?_?$", "", mask[differ[0]]) if differ[0] < len(mask) else ""
        root = ".".join(path[: differ[0] + 1]) if attribute else ""
        towers.setdefault(f"{attribute}." if attribute else "", []).append((run, root))
    return [
        _Tower(prefix, tuple(run for run, _ in mine), frozenset(root for _, root in mine if root))
        for prefix, mine in towers.items()
    ]


def _prefix(path: str, towers: Sequence[_Tower]) -> str:
    """Of the tower that a part belongs to; "" for the trunk."""
    inside = (t.prefix for t in towers if any(path.startswith(f"{root}.") for root in t.roots))
    return next(inside, "")


def _stages(parts: Parts, runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """The module that gives each stage's output, and the blocks in it that fire; both in the order of firing."""
    stages = []
    for run in runs:
        for number, paths in enumerate(run.stages):
            blocks = sorted((path for path in paths if path in parts.blocks), key=parts.place.__getitem__)
            module = run.stage_paths[number] if run.stage_paths else run.container
            if blocks:
                stages.append((module if module and fires(parts.module(module)) else blocks[-1], blocks))
    return sorted(stages, key=lambda stage: parts.place[stage[1][0]])


def _read_plain(parts: Parts) -> tuple[list[Layer], str, bool]:
    """A network without runs: its convolutions and linear layers are the blocks, if there are two beside the head."""
    place = parts.place
    head = parts.head
    units = _units_beside_head(parts)
    layers = [] if head is None else [(place[head[0]], Layer("head", head[1], "head", 0.0))]
    beside = [path for path in parts.weighted or list(place) if head is None or path != head[0]]
    if len(units) < 2:
        layers += [(place[path], parts.by_path(path)) for path in beside]
        return parts.in_order(layers), "no run of blocks found, so layers go by their paths", parts.followed
    for j, (path, output) in enumerate(units.items()):
        layers.append((place[path], Layer(f"blocks.{j}", output, "block", 0.0)))
    inside = {
        path for unit, output in units.items() for path, at in place.items() if place[unit] <= at <= place[output]
    }
    start = min(place[path] for path in units)
    before = [path for path in place if place[path] < start and path in parts.weighted]
    if before:
        layers.append((place[before[-1]], Layer("stem", before[-1], "stem", 0.0)))
    layers += [(place[path], parts.by_path(path)) for path in beside if path not in inside and path not in before]
    grounds = f"a plain network: each of {len(units)} convolutions or linear layers, with what follows it, is a block"
    return parts.in_order(layers), grounds, parts.followed


def _units_beside_head(parts: Parts) -> dict[str, str]:
    return {path: output for path, output in _units(parts).items() if parts.head is None or path != parts.head[0]}


def _units(parts: Parts) -> dict[str, str]:
    """Every convolution or linear layer, and the norm or activation after it that gives the unit's output.

    Without a known order only a `Sequential` tells what follows what; an activation called in several places is none's.
    """
    units: dict[str, str] = {}
    current: str | None = None
    for path, times in parts.calls.items():
        module = parts.module(path)
        if is_weight_layer(module) and not isinstance(module, nn.MultiheadAttention):
            units[path] = current = path
            continue
        listed = current is not None and current.rpartition(".")[0] == path.rpartition(".")[0]
        listed = listed and type(parts.module(path.rpartition(".")[0])) is nn.Sequential
        joins = is_norm(module) or is_activation(module)
        if current is not None and joins and times == 1 and (parts.followed or listed):
            units[current] = path
        elif "Dropout" not in type(module).__name__:
            current = None
    return units


def _known_inside(model: nn.Module) -> tuple[str, Adapter] | None:
    """The path of the one module inside that belongs to a known framework and is most of the model, and its adapter."""
    found: list[tuple[str, Adapter]] = []
    for path, module in model.named_modules():
        if path and not any(path.startswith(f"{outer}.") for outer, _ in found):
            owner = known_owner(module)
            found += [] if owner is None else [(path, owner)]
    if len(found) != 1 or 2 * weight_count(model.get_submodule(found[0][0])) < weight_count(model):
        return None
    path, adapter = found[0]
    try:
        adapter.layers(model.get_submodule(path))
    except ValueError:  # it cannot be told there; then it is read like any other module
        return None
    return path, adapter


def _read_around(model: nn.Module, path: str, adapter: Adapter, granularity: str) -> tuple[list[Layer], str, bool]:
    """A known model and what was put around it; its own head goes by its path where another one follows."""
    inner = model.get_submodule(path)
    parts = Parts.of(model, [path])
    own = [part for part in parts.weighted if parts.head is None or part != parts.head[0]]
    layers = [(parts.place[part], parts.by_path(part)) for part in own]
    at = parts.place.get(path, 0)
    for layer in adapter.layers(inner, granularity):
        whole = join(path, layer.path)
        replaced = layer.name == "head" and parts.head is not None
        layers.append((at, Layer(whole if replaced else layer.name, whole, layer.kind, 0.0)))
    if parts.head is not None:
        layers.append((parts.place[parts.head[0]], Layer("head", parts.head[1], "head", 0.0)))
    return parts.in_order(layers), f"{path!r} is a model that the {adapter.name} adapter knows", parts.followed
