"""Trees of modules, of whatever framework: what a wrapper holds, which modules are leaves, which normalise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.fx
from torch import nn
from torch.optim.swa_utils import AveragedModel

from cka_plugin.adapters.layer import Layer
from cka_plugin.adapters.naming import spread_depths

_TABLES = re.compile(r"pos|rope|rotary|relative|cpb|meta_mlp|anchor", re.IGNORECASE)


def has_tables(model: nn.Module) -> bool:
    """Whether modules inside may work on tables of positions or anchors, which have no rows of examples.

    Example:
        >>> has_tables(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())), has_tables(nn.ModuleDict({"rel_pos": nn.ReLU()}))
        (False, True)
    """
    return any(_TABLES.search(f"{path} {type(module).__name__}") for path, module in model.named_modules() if path)


def unwrap(model: nn.Module) -> tuple[nn.Module, str]:
    """What a compiled, data-parallel or averaged model wraps, and the prefix of its paths inside the wrapper.

    `torch.compile`, `DataParallel`, `DistributedDataParallel`, `AveragedModel` and PEFT wrappers are looked through.
    What computes something else without its wrapper is left as it is: learned prompts of PEFT, shards of FSDP; and so
    is what is no wrapper: weights that accelerate has spread over devices, quantised layers, traced graphs.

    Example:
        >>> inner, prefix = unwrap(nn.DataParallel(nn.Linear(2, 2)))
        >>> type(inner).__name__, prefix
        ('Linear', 'module.')
    """
    prefix = ""
    while True:
        wrapper: Any = model
        inner: Any = None
        if isinstance(getattr(model, "_orig_mod", None), nn.Module):
            inner, step = wrapper._orig_mod, "_orig_mod."
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel | AveragedModel):
            inner, step = wrapper.module, "module."
        elif type(model).__module__.split(".")[0] == "peft" and hasattr(model, "get_base_model"):
            config = getattr(model, "active_peft_config", None)  # a mixture of adapters has none
            if not getattr(config, "is_prompt_learning", False):
                inner = wrapper.get_base_model()
                step = next(f"{path}." for path, module in model.named_modules() if module is inner)
        if inner is None:
            return model, prefix
        model, prefix = inner, prefix + step


def module_at(model: nn.Module, path: str) -> nn.Module:
    """The module at a path; `model` itself at "", also where TorchScript has no `get_submodule`.

    Raises:
        AttributeError: there is none.
    """
    return model.get_submodule(path) if path else model


def layer_within(model: nn.Module, layer: Layer) -> Layer:
    """The layer with its path in `model`, where its path is that of a wrapper around it (`module.`, `_orig_mod.`).

    Example:
        >>> layer_within(nn.Sequential(nn.ReLU()), Layer("head", "module.0", "head", 1.0)).path
        '0'
    """
    parts = layer.path.split(".")
    children = dict(model.named_children())
    while parts and parts[0] not in children:
        parts = parts[1:]
    return replace(layer, path=".".join(parts)) if parts else layer


def is_leaf(module: nn.Module) -> bool:
    """Whether nothing of interest fires inside a module.

    `MultiheadAttention` reads the weights of its projection without calling it; what is parametrized (weight norm)
    computes weights inside, not activations; quantised layers keep their packed weights in a module. What TorchScript
    has compiled or torch.export has written down runs as a whole, and passes hooks on its parts by.

    Example:
        >>> is_leaf(nn.Linear(2, 2)), is_leaf(nn.MultiheadAttention(4, 2)), is_leaf(nn.Sequential(nn.ReLU()))
        (True, True, False)
    """
    children = {name for name, _ in module.named_children()}
    whole = isinstance(module, nn.MultiheadAttention | torch.jit.ScriptModule) or _is_exported(module)
    return whole or children <= {"parametrizations", "_packed_params"}


def fires(module: nn.Module) -> bool:
    """Whether the module can be called at all: lists of modules, and the shells that tracing leaves, cannot.

    Example:
        >>> fires(nn.Sequential()), fires(nn.ModuleList())
        (True, False)
    """
    if isinstance(module, torch.jit.ScriptModule):
        return True
    return "forward" in vars(module) or type(module).forward is not nn.Module.forward


def _is_exported(module: nn.Module) -> bool:
    """Whether a module is a graph, as torch.export makes it, whose weights lie in shells: nothing inside uses them."""
    if not isinstance(module, torch.fx.GraphModule):
        return False
    inside = list(module.modules())[1:]
    return any(True for _ in module.parameters()) and not any(
        fires(part) and any(True for _ in part.parameters()) for part in inside
    )


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm, with the activation or dropout that some have built in, and nothing else.

    Example:
        >>> is_norm(nn.LayerNorm(2)), is_norm(nn.Sequential(nn.LayerNorm(2)))
        (True, False)
    """
    return "Norm" in type(module).__name__ and all(
        is_activation(child) or not any(True for _ in child.parameters()) for child in module.children()
    )


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an activation function, learned (`PReLU`) or not; an attention is none.

    Example:
        >>> is_activation(nn.PReLU()), is_activation(nn.MultiheadAttention(2, 1))
        (True, False)
    """
    homes = ("torch.nn.modules.activation", "timm.layers.activations")
    return type(module).__module__.startswith(homes) and not isinstance(module, nn.MultiheadAttention)


def leaves(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The leaf modules in `module`, itself included, each once, with their paths, in the order of definition.

    Example:
        >>> [path for path, _ in leaves(nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU())), "net")]
        ['net.0', 'net.1.0']
    """
    inside = ""  # of which leaf the modules that follow are parts
    for below, child in module.named_modules(prefix=path):
        if inside and below.startswith(inside):
            continue
        if is_leaf(child):
            inside = f"{below}."
            yield below, child


def leaf_layers(model: nn.Module, coarse: Sequence[Layer] = ()) -> list[Layer]:
    """Every leaf module of `model`, `nn.Identity` excepted, in the order of definition: `module` granularity.

    A leaf inside a layer of `coarse` (block granularity) is named after it: `stages.0.blocks.1.conv1`; others by their
    path. Which of them fire, and in which order, only a forward pass tells.

    Example:
        >>> [l.name for l in leaf_layers(nn.Sequential(nn.Linear(2, 2), nn.Identity(), nn.ReLU()))]
        ['0', '2']
    """
    prefixes = sorted(((l.path, l.name) for l in coarse if l.path), key=lambda pair: -len(pair[0]))
    names: list[str] = []
    paths: list[str] = []
    for path, module in leaves(model):
        if not path:  # the model itself is one leaf
            return [Layer("module", "", "module", 0.0)]
        if isinstance(module, nn.Identity):
            continue
        start, common = next((p for p in prefixes if path == p[0] or path.startswith(p[0] + ".")), (path, path))
        paths.append(path)
        names.append(common + path[len(start) :])
    unique = len(set(names)) == len(names)
    chosen = names if unique else paths
    return spread_depths([Layer(n, p, "module", 0.0) for n, p in zip(chosen, paths, strict=True)])


__all__ = [
    "fires",
    "has_tables",
    "is_activation",
    "is_leaf",
    "is_norm",
    "layer_within",
    "leaf_layers",
    "leaves",
    "module_at",
    "unwrap",
]
