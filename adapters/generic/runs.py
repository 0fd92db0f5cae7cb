"""Where the blocks of any network are: runs of like-typed modules, and stages that hold such runs.

Only the module tree is read, so it works for every `nn.Module`; what is found is a reading of it, not a fact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import nn

from cka_plugin.adapters.modules import fires, is_activation, is_leaf, leaves

# A run that holds less than this share of the weights of the largest run is part of a stem, neck or head.
SMALLEST_RUN = 0.05

_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Run:
    """Like-typed blocks, one after the other.

    Attributes:
        container: path of the module whose children they are.
        stages: the blocks' paths, stage by stage; one entry where there are no stages.
        stage_paths: the path of each stage's module; empty where there are no stages.
    """

    container: str
    stages: tuple[tuple[str, ...], ...]
    stage_paths: tuple[str, ...] = ()

    @property
    def blocks(self) -> list[str]:
        """The paths of all blocks."""
        return [path for stage in self.stages for path in stage]

    def widths(self, model: nn.Module) -> frozenset[Any]:
        """The shapes of the weights in its blocks: runs of equal widths are alike."""
        return frozenset(_widths(model.get_submodule(path)) for path in self.blocks)


def find_runs(model: nn.Module) -> list[Run]:
    """The runs of blocks of `model`, in the order of definition; none in a plain network of single layers.

    Like-typed are children of one class, `Sequential`s of the same classes, and in a list all `Sequential`s of modules
    made of modules. Children that are attributes must be numbered. A run of modules that hold runs themselves is one
    of stages if they differ in width: the members of equal width of an isotropic network (a Transformer block with its
    list of heads or experts) are the blocks.

    Example:
        >>> block = lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> find_runs(nn.Sequential(block(), block(), nn.Linear(2, 3)))
        [Run(container='', stages=(('0', '1'),), stage_paths=())]
    """
    runs = _runs_below(model, "")
    weights: dict[str, int] = {}  # the early stages of a network are small, but not in a part of their own
    for run in runs:
        weights[_part(run)] = weights.get(_part(run), 0) + sum(weight_count(model.get_submodule(p)) for p in run.blocks)
    runs = [run for run in runs if weights[_part(run)] >= SMALLEST_RUN * max(weights.values())]
    proper = [run for run in runs if any(_is_block(model.get_submodule(path)) for path in run.blocks)]
    return proper or runs  # where there are blocks, a run of convolutions with their norms is only a stem or a neck


def find_bare_runs(model: nn.Module) -> list[Run]:
    """The runs of like-typed modules without weights (Fourier mixing, shifts), for networks that have no other blocks.

    They stand side by side, and are more than activations or dropouts, which between linear layers are no blocks. Where
    the forward pass takes weights that no module of their own applies (a `ParameterList`), activations side by side
    are all that fires after each, and so are the blocks.

    Example:
        >>> class Shift(nn.Module):
        ...     def forward(self, x): return x.roll(1, 1)
        >>> find_bare_runs(nn.Sequential(nn.Linear(2, 2), Shift(), Shift()))
        [Run(container='', stages=(('1', '2'),), stage_paths=())]
    """
    return _bare_runs(model, False) or (_bare_runs(model, True) if _holds_loose_weights(model) else [])


def _bare_runs(model: nn.Module, activations: bool) -> list[Run]:
    found: list[Run] = []
    for container, module in model.named_modules():
        if any(f"{container}.".startswith(f"{block}.") for run in found for block in run.blocks):
            continue
        listed = isinstance(module, _LISTS)
        for kind, members in groupby(module.named_children(), key=lambda child: _bare_kind(child[1], activations)):
            names = [name for name, _ in members if listed or re.search(r"\d", name)]
            if kind is not None and len(names) > 1:
                found.append(Run(container, (tuple(join(container, name) for name in names),)))
    return found


def _holds_loose_weights(model: nn.Module) -> bool:
    """Whether there are weights beside modules: of a module with children, or in a list that never fires."""
    return any(
        module._parameters and (not fires(module) or next(module.children(), None) is not None)
        for module in model.modules()
    )


def _bare_kind(module: nn.Module, activations: bool) -> type[nn.Module] | None:
    """The class of a module that may be a block without weights; None of what has weights or is no block."""
    minor = isinstance(module, nn.Identity) or "Drop" in type(module).__name__
    minor = minor or (is_activation(module) and not activations)
    return None if minor or is_pure(module) or has_weights(module) else type(module)


def _part(run: Run) -> str:
    return re.sub(r"_?\d+", "", run.container)


def is_pure(module: nn.Module) -> bool:
    """Whether the module only holds others: it calls them one after the other, or leaves the calls to its owner."""
    return type(module) is nn.Sequential or not fires(module)


def is_weight_layer(module: nn.Module) -> bool:
    """Whether the module is a linear map, a convolution or an attention, of whatever quantised or adapted kind."""
    return is_leaf(module) and bool(re.search(r"Linear|Conv|Attention", type(module).__name__))


def has_weights(module: nn.Module) -> bool:
    """Whether anything in the module is learned.

    Quantised layers hold their weights in no parameter, and frozen graphs of TorchScript (which have no flag for
    training either) in constants.
    """
    if isinstance(module, torch.jit.ScriptModule) and not hasattr(module, "training"):
        return True
    return any(True for _ in module.parameters()) or any(is_weight_layer(leaf) for _, leaf in leaves(module))


def join(path: str, name: str) -> str:
    """`name` below `path`."""
    return f"{path}.{name}" if path and name else path or name


def _runs_below(module: nn.Module, path: str) -> list[Run]:
    """The runs among the children of `module`, and below those children that are in none."""
    children = [(join(path, name), child) for name, child in module.named_children() if has_weights(child)]
    members = _like_typed(module, children)
    found = [_run(path, members)] if members else []
    taken = {member for member, _ in members}
    for child_path, child in children:
        if child_path not in taken and not is_leaf(child):
            found += _runs_below(child, child_path)
    return found


def _like_typed(module: nn.Module, children: Sequence[tuple[str, nn.Module]]) -> list[tuple[str, nn.Module]]:
    """The children that make a run: every class with two members or more, tiny ones and mere layers left out."""
    groups: dict[Any, list[tuple[str, nn.Module]]] = {}
    for path, child in children:
        if (not is_leaf(child) or _is_scripted_block(child)) and fires(child):
            staged = isinstance(module, _LISTS) and is_pure(child) and _holds_modules(child)
            groups.setdefault("stages" if staged else _signature(child), []).append((path, child))
    runs = [group for group in groups.values() if _is_run(module, children, group)]
    size = {id(group): sum(weight_count(child) for _, child in group) for group in runs}
    largest = max(size.values(), default=0)
    runs = [group for group in runs if size[id(group)] >= SMALLEST_RUN * largest]
    proper = [group for group in runs if any(_is_block(child) for _, child in group)]
    chosen = {path for group in proper or runs for path, _ in group}
    return [(path, child) for path, child in children if path in chosen]


def _is_scripted_block(module: nn.Module) -> bool:
    return isinstance(module, torch.jit.ScriptModule) and any(True for _ in module.children())


def _is_run(module: nn.Module, children: Sequence[Any], group: Sequence[tuple[str, nn.Module]]) -> bool:
    """Whether the like-typed `group` among the children of `module` is a run of blocks."""
    if not isinstance(module, _LISTS):  # attributes are numbered: `student` and `teacher` are two networks, no run
        return sum(bool(re.search(r"\d", path.rpartition(".")[2])) for path, _ in group) > 1
    if len(group) > 1:
        return True
    # A list that repeats one block, or has just one, was made to hold blocks all the same.
    return type(module) is not nn.Sequential and len(children) == 1 and _is_block(group[0][1])


def _run(container: str, members: Sequence[tuple[str, nn.Module]]) -> Run:
    """The run of `members`, which are its blocks, or its stages where they hold runs themselves."""
    inner = [_inside(path, child) for path, child in members]
    widths = {_widths(child) for _, child in members}
    if all(is_pure(child) for _, child in members):
        # `layer1`, `layer2` are stages though equal in width; the equal members of a list are blocks of two halves.
        stages = len(widths) > 1 or not members[0][0].rpartition(".")[2].isdigit()
    else:
        stages = len(widths) > 1 and any(len(blocks) > 1 for blocks in inner)
    if stages and all(inner):
        return Run(container, tuple(tuple(blocks) for blocks in inner), tuple(path for path, _ in members))
    return Run(container, (tuple(path for path, _ in members),))


def _inside(path: str, stage: nn.Module) -> list[str]:
    """The blocks that a stage holds; none if it is a block itself."""
    if is_pure(stage):
        return _blocks_of_list(path, stage)
    for name, child in stage.named_modules():
        if not isinstance(child, _LISTS):
            continue
        paths = _blocks_of_list(name, child)
        blocks = [stage.get_submodule(p) for p in paths]
        if blocks and all(map(_is_block, blocks)) and 3 * sum(map(weight_count, blocks)) >= weight_count(stage):
            return [join(path, p) for p in paths]
    return []


def _blocks_of_list(path: str, module: nn.Module) -> list[str]:
    """The children of a list that are blocks; where none is, those made of several modules."""
    children = [(join(path, name), child) for name, child in module.named_children()]
    found = [(p, child) for p, child in children if not is_leaf(child) and fires(child) and has_weights(child)]
    return [p for p, child in found if _is_block(child)] or [p for p, _ in found]


def _holds_modules(module: nn.Module) -> bool:
    """Whether all that has weights in a list is made of several modules."""
    children = [child for child in module.children() if has_weights(child)]
    return bool(children) and not any(is_leaf(child) for child in children)


def _signature(module: nn.Module) -> Any:
    """What makes modules like-typed: the class; for a bare list of modules, the classes of what it holds."""
    if isinstance(module, torch.jit.ScriptModule):
        return (type(module), module.original_name)
    if type(module) not in _LISTS:
        return type(module)
    inner: list[Any] = []
    for child in module.children():
        if has_weights(child):
            signature = _signature(child)
            if not inner or inner[-1] != signature:
                inner.append(signature)
    return (type(module), *inner)


def _is_block(module: nn.Module) -> bool:
    """Whether the module holds two weight layers or more: more than one convolution with its norm and activation.

    A convolution of each channel on its own counts with the one that mixes them, so a separable convolution is one.
    """
    return sum(is_weight_layer(leaf) and not _is_depthwise(leaf) for _, leaf in leaves(module)) >= 2


def _is_depthwise(module: nn.Module) -> bool:
    groups = getattr(module, "groups", 1)
    return isinstance(groups, int) and groups > 1 and groups == getattr(module, "in_channels", 0)


def weight_count(module: nn.Module) -> int:
    """Number of weights; quantised layers without parameters count by their number."""
    weights = sum(math.prod(_shape(p)) for p in module.parameters())
    return weights or sum(is_weight_layer(leaf) for _, leaf in leaves(module))


def _widths(module: nn.Module) -> tuple[tuple[int, ...], ...]:
    return tuple(sorted(_shape(p) for p in module.parameters()))


def _shape(parameter: nn.Parameter) -> tuple[int, ...]:
    return () if nn.parameter.is_lazy(parameter) else tuple(parameter.shape)


__all__ = [
    "SMALLEST_RUN",
    "Run",
    "find_bare_runs",
    "find_runs",
    "has_weights",
    "is_pure",
    "is_weight_layer",
    "join",
    "weight_count",
]
