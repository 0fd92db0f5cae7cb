"""The layers of a timm model under their common names, read from what the model says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from cka_plugin.adapters.layout import Layout
from cka_plugin.adapters.modules import is_activation, is_norm
from cka_plugin.adapters.timm.ends import final_norm_of, head_of, stem_of
from cka_plugin.adapters.timm.groups import Groups, block_groups, cannot_tell, feature_info, has_stages
from cka_plugin.adapters.timm.kinds import CONTAINERS, CONVOLUTIONS, is_conv_norm, is_single, parent


def described(layout: Layout, architecture: str) -> str:
    """What was found in a model of timm, in one sentence for people."""
    stages = "" if layout.isotropic else f" in {len(layout.stages)} stages"
    blocks = f"{sum(len(blocks) for _, blocks in layout.stages)} blocks{stages}"
    ends = {"embed" if layout.isotropic else "stem": layout.stem, "norm": layout.norm, "head": layout.head}
    places = "".join(f", {name} is {path}" for name, path in ends.items() if path not in (None, name))
    return f"{architecture} of timm: {blocks}, read from {layout.said_by}{places}"


def layout_of(model: nn.Module) -> Layout:
    """Read the layout of a timm model, also of one built with `features_only=True`.

    Raises:
        ValueError: its blocks cannot be told from what it says.
    """
    inner: Any = getattr(model, "model", None)
    if type(model).__name__ == "FeatureGetterNet":  # features_only: the model without norm and head
        return _below("model.", layout_of(inner))
    modules = dict(model.named_modules())
    renamed = not hasattr(model, "group_matcher") and hasattr(model, "return_layers")  # features_only: its parts
    read = _read_features(model, modules) if renamed else _read(model, modules)
    stages = [blocks for blocks in (_real_blocks(modules, paths) for paths in read.stages) if blocks]
    if not stages:
        raise ValueError(cannot_tell(model, "what its group_matcher calls blocks are single layers"))
    held = [_held_by(modules, blocks, stages) for blocks in stages]
    fires = [None if path is None or isinstance(modules[path], nn.ModuleList) else path for path in held]
    return Layout(
        stages=list(zip(fires, stages, strict=True)),
        stem=stem_of(model, stages[0][0] if read.isotropic else held[0] or stages[0][0], _flat(read.stages)),
        norm=final_norm_of(model, stages[-1][-1] if read.isotropic else held[-1] or stages[-1][-1]),
        head=head_of(model, _flat(stages)),
        isotropic=read.isotropic,
        said_by=read.said_by,
    )


def _below(prefix: str, layout: Layout) -> Layout:
    return replace(
        layout,
        stages=[(path and prefix + path, [prefix + block for block in blocks]) for path, blocks in layout.stages],
        stem=None if layout.stem is None else prefix + layout.stem,
        norm=None,
        head=None,
    )


# Stages --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Read:
    """The stages as the model says them; among their members are layers that are no blocks."""

    stages: list[list[str]]
    said_by: str
    isotropic: bool = False


def _read(model: nn.Module, modules: Mapping[str, nn.Module]) -> _Read:
    groups, said_by = block_groups(model)
    if any(len(key) > 1 for key in groups):
        return _Read(_numbered_stages(groups), said_by)
    members = _flat(groups.values())
    if not has_stages(model):
        return _Read([members], said_by, isotropic=True)
    inside = _blocks_inside(modules, members)
    if inside is not None:
        return _Read(inside, f"{said_by} (stages) and their `blocks`")
    return _Read(_split(groups, model, list(modules)), f"{said_by} and feature_info (stages)")


def _read_features(model: nn.Module, modules: Mapping[str, nn.Module]) -> _Read:
    """The stages of a `features_only` model, whose parts go by their path with underscores."""
    paths = [name.replace(".", "_") for name, _ in feature_info(model)]
    stages = [path for path in paths if path in modules and not is_single(modules[path])]
    found = _blocks_inside(modules, stages)
    if not stages or found is None:
        raise ValueError(cannot_tell(model, "its features_only form does not say which of its parts are blocks"))
    return _Read(found, "feature_info (stages) and their `blocks`")


def _numbered_stages(groups: Groups) -> list[list[str]]:
    """Stages as numbered; blocks without a stage of their own (class attention) go on counting in the one before."""
    stages: list[list[str]] = []
    for key, paths in groups.items():
        if len(key) > 1 or not stages:
            stages.append(list(paths))
        else:
            stages[-1] += paths
    return stages


def _blocks_inside(modules: Mapping[str, nn.Module], paths: Sequence[str]) -> list[list[str]] | None:
    """The blocks inside what is numbered, if that is stages: each has `blocks`, or each is a sequence."""
    if all(isinstance(modules.get(f"{path}.blocks"), CONTAINERS) for path in paths):
        containers = [f"{path}.blocks" for path in paths]
    elif all(isinstance(modules[path], nn.Sequential) for path in paths):
        containers = list(paths)
    else:
        return None
    return [[f"{path}.{name}" for name, _ in modules[path].named_children()] for path in containers]


def _split(groups: Groups, model: nn.Module, order: Sequence[str]) -> list[list[str]]:
    """Divide a run of blocks where `feature_info` says that the resolution falls.

    A module of `feature_info` that is a block, or holds blocks, ends a stage there; one inside a block is what entered
    that, so that a stage begins with it. What follows the last such module in the same group is no block (a last
    convolution); another group (class attention) goes on counting in the last stage.
    """
    position = {path: i for i, path in enumerate(order)}
    flat = [(path, key) for key, paths in groups.items() for path in paths]
    ends: set[int] = set()
    last = -1
    for mark, _ in feature_info(model):
        if mark not in position:
            continue
        inside = [i for i, (path, _) in enumerate(flat) if mark.startswith(path + ".")]
        holds = [i for i, (path, _) in enumerate(flat) if path == mark or path.startswith(mark + ".")]
        before = [i for i, (path, _) in enumerate(flat) if position[path] < position[mark]]
        end = inside[0] - 1 if inside else max(holds or before, default=-1)
        last = max(last, inside[0] if inside else end)
        ends.add(end)
    stages: list[list[str]] = [[]]
    for i, (path, key) in enumerate(flat):
        if i <= last or key != flat[last][1]:
            stages[-1].append(path)
        if i in ends and i < last:
            stages.append([])
    return stages


def _flat(stages: Iterable[Sequence[str]]) -> list[str]:
    return [path for blocks in stages for path in blocks]


def _held_by(modules: Mapping[str, nn.Module], blocks: Sequence[str], stages: Sequence[Sequence[str]]) -> str | None:
    """The largest module that holds the blocks of this stage and of no other; None where there is none."""
    others = [path for stage in stages if stage is not blocks for path in stage]
    found = None
    path = parent(blocks[0])
    while path and all(block.startswith(path + ".") for block in blocks):
        if any(other.startswith(path + ".") for other in others):
            break
        found, path = path, parent(path)
    return found


# Blocks --------------------------------------------------------------------------------------------------------------


def _real_blocks(modules: Mapping[str, nn.Module], paths: Sequence[str]) -> list[str]:
    """Of the members of a stage those that are blocks.

    Single layers among blocks (a last norm, a reshape) are none, nor is a convolution with its norm before the residual
    blocks of a stage: that is its downsampling. Where all are single layers the network is plain: each convolution with
    its norm and activation is a block, taken where its last one fires.
    """
    if all(is_single(modules[path]) for path in paths):
        return _plain_units(modules, paths)
    blocks = [path for path in paths if not is_single(modules[path])]
    if len(blocks) > 1 and is_conv_norm(modules[blocks[0]]) and not is_conv_norm(modules[blocks[1]]):
        blocks = blocks[1:]
    return blocks


def _plain_units(modules: Mapping[str, nn.Module], paths: Sequence[str]) -> list[str]:
    units: list[str] = []
    open_unit = False
    for path in paths:
        module = modules[path]
        if isinstance(module, CONVOLUTIONS):
            units.append(path)
            open_unit = True
        elif open_unit and (is_norm(module) or is_activation(module)):
            units[-1] = path
        else:  # pooling, dropout: after the unit
            open_unit = False
    return units
