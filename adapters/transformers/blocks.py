"""Which modules of a Hugging Face model are its blocks, read from what transformers says of it.

transformers says it in two places: `_can_record_outputs` names the classes whose outputs are the hidden states, and the
configuration counts the layers. Where a type says neither, or something other than its blocks, `special`
says it. Models of other frameworks inside a model (of timm, mostly) are left to the adapters of those.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from cka_plugin.adapters.base import Adapter
from cka_plugin.adapters.known import known_owner
from cka_plugin.adapters.transformers.special import SAID_FOR, numbered

COUNTS = (
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "depth", "depths", "encoder_layers", "decoder_layers",
    "num_encoder_layers", "num_decoder_layers", "num_encoder_blocks", "encoder_num_layers", "decoder_num_layers",
)  # fmt: skip
_LISTS = ("layers", "layer", "blocks", "block", "h")
_NO_BLOCKS = ("embed", "proj", "norm", "head", "class", "bbox", "pred", "expert")


@dataclass(frozen=True)
class Tower:
    """A run of blocks, in stages where the network has them.

    Attributes:
        container: path of what holds the blocks or stages: a list, or a model of another framework.
        stages: the blocks' paths, stage by stage; one entry where there are no stages.
        staged: whether there are.
        said_by: what the blocks were read from.
        label: what the tower is called; empty where there is only one.
        root: path of the outermost module that holds this tower and no other.
        ends: kind -> path of what stands before and after the blocks, where the framework of the tower says that too.
    """

    container: str
    stages: list[list[str]]
    staged: bool
    said_by: str
    label: str = ""
    root: str = ""
    ends: Mapping[str, str] | None = None

    @property
    def blocks(self) -> list[str]:
        return [path for stage in self.stages for path in stage]


def find_towers(model: nn.Module, prefix: str = "") -> list[Tower]:
    """The runs of blocks of `model` and of the models inside it, in the order of definition."""
    if is_foreign(model):
        return _of_foreign(model, prefix)
    own = _said(model) or _grouped(model, _recorded(model), "recorded") or _grouped(model, _counted(model), "counted")
    own += _grouped(model, _beside(model, [path for tower in own for path in tower.blocks]), "counted")
    towers = [_below(tower, prefix) for tower in own]
    taken = [f"{path}." for tower in own for path in tower.blocks]
    for path, sub in submodels(model):
        if not any(f"{path}.".startswith(block) or block.startswith(f"{path}.") for block in taken):
            towers += find_towers(sub, f"{prefix}{path}.")
    return towers


def _below(tower: Tower, prefix: str) -> Tower:
    stages = [[prefix + path for path in blocks] for blocks in tower.stages]
    return replace(tower, container=prefix + tower.container, stages=stages)


# What transformers says ----------------------------------------------------------------------------------------------


def _said(model: nn.Module) -> list[Tower]:
    said = SAID_FOR.get(getattr(type(getattr(model, "config", None)), "model_type", ""))
    if said is None:
        return []
    runs = [said(model)] if callable(said) else [_by_stage(numbered(model, pattern), pattern) for pattern in said]
    runs = [[blocks for blocks in stages if blocks] for stages in runs]
    return [Tower(_common(stages), stages, len(stages) > 1, "the paths of its blocks") for stages in runs if stages]


def _by_stage(paths: list[str], pattern: str) -> list[list[str]]:
    """Paths that fit a pattern with two numbers, of which the first is the stage; else all together."""
    if pattern.count("*") != 2 or "|" in pattern:
        return [paths]
    stages: dict[str, list[str]] = {}
    for path in paths:
        stages.setdefault(_numbers(path)[0], []).append(path)
    return list(stages.values())


def _numbers(path: str) -> list[str]:
    return [part for part in path.split(".") if part.isdigit()]


def _recorded(model: nn.Module) -> list[str]:
    """Modules of the classes whose outputs are recorded as hidden states, as transformers' `output_capturing` does."""
    said = (getattr(model, "_can_record_outputs", None) or {}).get("hidden_states")
    recorders = said if isinstance(said, list | tuple) else [said] if said is not None else []
    return [path for path, module in region(model) if any(_records(one, path, module) for one in recorders)]


def _records(recorder: Any, path: str, module: nn.Module) -> bool:
    wanted = getattr(recorder, "target_class", recorder)
    named = recorder if isinstance(recorder, str) else getattr(recorder, "class_name", None)
    inside = getattr(recorder, "layer_name", None)
    fits = (isinstance(wanted, type) and isinstance(module, wanted)) or (
        named is not None and (path.endswith(named) or type(module).__name__ == named)
    )
    return fits and (inside is None or f".{inside.strip('.')}." in f".{path}.")


def _counted(model: nn.Module) -> list[str]:
    """The elements of the outermost lists that are as long as the configuration counts layers."""
    counts = _counts(model)
    lists: list[str] = []
    found: list[str] = []
    for path, module in region(model):
        inside = path.startswith(tuple(f"{one}." for one in lists))
        other = any(word in path.rpartition(".")[2] for word in _NO_BLOCKS)
        if is_list(module) and len(module) in counts and not inside and not other:  # type: ignore[arg-type]
            lists.append(path)
            found += [f"{path}.{name}" for name, _ in module.named_children()]
    return found


def _counts(model: nn.Module) -> set[Any]:
    """The numbers of layers, or of stages, that the configuration states."""
    return _counts_of(getattr(model, "config", None))


def _counts_of(config: Any) -> set[Any]:
    values = [getattr(config, key, None) for key in COUNTS]
    return {len(value) if isinstance(value, list | tuple) else value for value in values}


def _beside(model: nn.Module, blocks: Sequence[str]) -> list[str]:
    """The elements of further lists, beside the blocks, as long as a part of the configuration counts layers.

    Such are towers that are no models of their own (the vision tower of Idefics, the mask decoder of SAM).
    """
    parts = [value for value in vars(getattr(model, "config", None) or object).values() if hasattr(value, "model_type")]
    counts = {count for part in parts for count in _counts_of(part)}
    lists: list[str] = []
    found: list[str] = []
    for path, module in region(model):
        if path.rpartition(".")[2] not in _LISTS or not is_list(module) or len(module) not in counts - {1}:  # type: ignore[arg-type]
            continue
        if any(f"{path}.".startswith(f"{b}.") or b.startswith(f"{path}.") for b in [*blocks, *lists]):
            continue
        if len({type(child) for child in module.children()}) == 1:
            lists.append(path)
            found += [f"{path}.{name}" for name, _ in module.named_children()]
    return found


def is_list(module: nn.Module) -> bool:
    """Whether a module is a list of composite modules, such as blocks are."""
    return (
        isinstance(module, nn.ModuleList | nn.Sequential)
        and len(module) > 0
        and all(any(True for _ in child.children()) for child in module)
    )


# Runs and stages -----------------------------------------------------------------------------------------------------


def _grouped(model: nn.Module, paths: Sequence[str], said_by: str) -> list[Tower]:
    """Paths as runs: those that differ only in their numbers."""
    patterns = {path: _pattern(path) for path in paths}
    runs: dict[str, list[str]] = {}
    for path in _outermost(paths):
        # A hybrid block beside plain ones may hold one of them: the block is the element of the list.
        outer = next((p for p in patterns.values() if patterns[path].startswith(f"{p}.")), patterns[path])
        runs.setdefault(outer, []).append(".".join(path.split(".")[: outer.count(".") + 1]))
    return [_tower(model, pattern, _completed(model, members), said_by) for pattern, members in runs.items()]


def _outermost(paths: Sequence[str]) -> list[str]:
    held = set(paths)
    return [p for p in paths if not any(p[:i] in held for i, c in enumerate(p) if c == ".")]


def _pattern(path: str) -> str:
    return ".".join("*" if part.isdigit() else part for part in path.split("."))


def _completed(model: nn.Module, members: Sequence[str]) -> list[str]:
    """A run in the order of definition; the whole list where it is counted with others (convolutions) in it."""
    wanted = set(members)
    parents = {path.rpartition(".")[0] for path in members}
    if len(parents) == 1:
        (parent,) = parents
        held = model.get_submodule(parent)
        if is_list(held) and len(held) in _counts(model):  # type: ignore[arg-type]
            wanted |= {f"{parent}.{name}" for name, _ in held.named_children()}
    return [path for path, _ in model.named_modules() if path in wanted]


def _tower(model: nn.Module, pattern: str, members: list[str], said_by: str) -> Tower:
    container = pattern.partition("*")[0].rstrip(".")
    elements = [model.get_submodule(path) for path in members]
    inner = [_inner_blocks(element, path) for element, path in zip(elements, members, strict=True)]
    if all(inner) and all("Stage" in type(e).__name__ or isinstance(e, nn.ModuleList) for e in elements):
        return Tower(container, inner, True, said_by)
    stages = _by_stage(members, pattern)
    if len(stages) > 1 and _are_counted(model, stages):
        return Tower(container, stages, True, said_by)
    return Tower(container, [members], False, said_by)


def _are_counted(model: nn.Module, stages: list[list[str]]) -> bool:
    """Whether the configuration holds a list of the lengths of these stages (`depths`)."""
    config = getattr(model, "config", None)
    lengths = [len(blocks) for blocks in stages]
    return any(isinstance(v, list | tuple) and list(v) == lengths for v in vars(config).values()) if config else False


def _inner_blocks(stage: nn.Module, path: str) -> list[str]:
    """The elements of the outermost list of composite modules in a stage."""
    for name, module in stage.named_modules():
        if is_list(module):
            return [f"{path}.{name}.{i}" if name else f"{path}.{i}" for i in range(len(module))]  # type: ignore[arg-type]
    return []


def _common(stages: list[list[str]]) -> str:
    """The path of the module that holds all blocks."""
    parts = [path.split(".")[:-1] for blocks in stages for path in blocks]
    return ".".join(os.path.commonprefix(parts))  # noqa: RUF071  (of lists of names, not of strings)


# Models inside models ------------------------------------------------------------------------------------------------


def submodels(model: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The nearest models, of transformers or another known framework, inside `model`."""
    for name, child in model.named_children():
        here = f"{path}.{name}" if path else name
        if _is_model(child):
            yield here, child
        else:
            yield from submodels(child, here)


def region(model: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules of `model` that belong to no model inside it."""
    for name, child in model.named_children():
        here = f"{path}.{name}" if path else name
        if not _is_model(child):
            yield here, child
            yield from region(child, here)


def _is_model(module: nn.Module) -> bool:
    from transformers import PreTrainedModel

    return isinstance(module, PreTrainedModel) or is_foreign(module)


def is_foreign(module: nn.Module) -> bool:
    """Whether a module is a model of another known framework."""
    return _foreign_adapter(module) is not None


def _foreign_adapter(module: nn.Module) -> Adapter | None:
    owner = known_owner(module)
    return None if owner is None or owner.name == "transformers" else owner


def _of_foreign(model: nn.Module, prefix: str) -> list[Tower]:
    """The tower of a model of another framework, as its own adapter maps it."""
    adapter = _foreign_adapter(model)
    assert adapter is not None
    stages: dict[str, list[str]] = {}
    ends: dict[str, str] = {}
    for layer in adapter.layers(model):
        if layer.kind == "block":
            stages.setdefault(layer.name.rpartition(".blocks.")[0], []).append(prefix + layer.path)
        else:
            ends[layer.kind] = prefix + layer.path
    return [Tower(prefix.removesuffix("."), list(stages.values()), "" not in stages, adapter.name, ends=ends)]
