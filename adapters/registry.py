"""The registry of adapters: which framework a model or a name belongs to.

timm, transformers and torchvision come with the package; others join by an entry point of the group
`cka_plugin.adapters` or by `register_adapter`. Frameworks are imported only when a model of theirs appears.
"""

from __future__ import annotations

import difflib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from cka_plugin.adapters.base import Adapter, Layer, Preparation
from cka_plugin.adapters.generic.adapter import GenericAdapter
from cka_plugin.adapters.known import BUILT_IN, known_adapters, known_owner, register_adapter
from cka_plugin.adapters.layer import GRANULARITIES
from cka_plugin.adapters.modules import leaf_layers, unwrap
from cka_plugin.adapters.naming import spread_depths, tower

PREFIXES = {"hf": "transformers", "huggingface": "transformers"}  # besides each adapter's own name

_generic = GenericAdapter()


def adapters() -> list[Adapter]:
    """All adapters in the order in which they are asked: registered, by entry point, built in, generic."""
    return [*known_adapters(), _generic]


def adapter_of(model: nn.Module) -> Adapter:
    """The adapter that owns `model` (looked at without its wrappers); `generic` where none does."""
    return known_owner(unwrap(model)[0]) or _generic


def layers(model: nn.Module, granularity: str = "block") -> list[Layer]:
    """The layers of a model under their common names.

    Args:
        model: any module; wrappers (`torch.compile`, `DataParallel`, PEFT) are looked through.
        granularity: `stage`, `block` (every residual or transformer block) or `module` (every leaf module).

    Returns:
        Layers whose `path` is a path of `model` as given.

    Raises:
        ValueError: an unknown granularity, or a model whose layers cannot be told.

    Example:
        >>> [layer.name for layer in layers(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)), "module")]
        ['0', '1', 'head']
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected an nn.Module; given {type(model).__name__}")
    if granularity not in GRANULARITIES:
        raise ValueError(f"granularity {granularity!r}: expected one of {', '.join(GRANULARITIES)}")
    inner, prefix = unwrap(model)
    adapter = adapter_of(inner)
    if granularity == "module":
        try:
            coarse = _listed_by(adapter, inner, "block")
        except ValueError:  # a model without blocks still has modules; they go by their paths
            coarse = []
        found = leaf_layers(inner, coarse)
    else:
        found = _listed_by(adapter, inner, granularity)
    if prefix:
        found = [Layer(l.name, prefix + l.path, l.kind, l.depth) for l in found]
    return found


def _listed_by(adapter: Adapter, model: nn.Module, granularity: str) -> list[Layer]:
    """What an adapter lists, which may be a stranger's: layers, each with a name of its own.

    Raises:
        TypeError: it is something else.
        ValueError: two layers have one name; and as `Adapter.layers`.
    """
    found = adapter.layers(model, granularity)
    said = f"the adapter {adapter.name!r} lists for {type(model).__name__}"
    if not isinstance(found, list | tuple) or not all(isinstance(layer, Layer) for layer in found):
        what = next((repr(one) for one in found if not isinstance(one, Layer)), "") if found is not None else "None"
        raise TypeError(f"{said} {what or type(found).__name__}: expected a list of cka_plugin.Layer")
    names: set[str] = set()
    for layer in found:
        if layer.name in names:
            raise ValueError(f"{said} two layers {layer.name!r}: expected a name of its own for each")
        names.add(layer.name)
    return list(found)


def names_fitting(pattern: str) -> dict[str, list[str]]:
    """The names of models that fit a glob pattern, by framework; `timm:resnet*` asks one framework alone.

    Example:
        >>> names_fitting("torchvision:resnet1*"), names_fitting("timm:no_such*")
        ({'torchvision': ['resnet101', 'resnet152', 'resnet18']}, {})
    """
    framework, colon, inner = pattern.partition(":")
    wanted = PREFIXES.get(framework, framework) if colon else ""
    asked = [adapter for adapter in adapters() if not colon or adapter.name == wanted]
    found = {adapter.name: adapter.list_names(inner if colon else pattern) for adapter in asked}
    return {name: names for name, names in found.items() if names}


def resolve(name: str) -> tuple[Adapter, str]:
    """The adapter that builds `name`, and the name without its prefix.

    `timm:resnet50`, `hf:bert-base-uncased`, `torchvision:resnet50`, a bare timm name, a local Hugging Face folder, or
    `owner/model` on the Hugging Face hub.

    Raises:
        ValueError: nothing knows the name; the nearest names are quoted.
        RuntimeError: the framework that would know it is not installed.
    """
    everyone = adapters()
    prefix, colon, rest = name.partition(":")
    if colon:
        wanted = PREFIXES.get(prefix, prefix)
        for adapter in everyone:
            if adapter.name == wanted and adapter.name != _generic.name:
                names = [] if adapter.name in BUILT_IN else adapter.list_names()  # those of the package may ask a hub
                if names and not (rest in names or adapter.knows(rest)):
                    near = difflib.get_close_matches(rest, names, n=3, cutoff=0.6) or names[:20]
                    raise ValueError(f"{prefix} has no model {rest!r}: it has {', '.join(near)}")
                return _usable(adapter, name), rest
        if not Path(name).exists():
            known = sorted({a.name for a in everyone if a.name != _generic.name} | set(PREFIXES))
            raise ValueError(f"unknown prefix {prefix!r} in model name {name!r}: expected one of {', '.join(known)}")
    for adapter in everyone:
        if adapter.knows(name):
            return _usable(adapter, name), name
    raise ValueError(unknown_name(name))


def _installed(framework: str) -> bool:
    return framework not in BUILT_IN or find_spec(framework) is not None


def _usable(adapter: Adapter, name: str) -> Adapter:
    if not _installed(adapter.name):
        raise RuntimeError(f"{name!r} is a model of {adapter.name}, which is not installed: pip install {adapter.name}")
    return adapter


def unknown_name(name: str) -> str:
    """What to say of a model name that nothing knows: the nearest ones, and how to name other sources."""
    present = [adapter for adapter in adapters() if _installed(adapter.name)]
    candidates = sorted({known for adapter in present for known in adapter.list_names()})
    near = difflib.get_close_matches(name, candidates, n=3, cutoff=0.6)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    absent = [framework for framework in BUILT_IN if not _installed(framework)]
    hint += f" ({', '.join(absent)} not installed: pip install {' '.join(absent)})" if absent else ""
    return (
        f"unknown model {name!r}{hint} (for a model of the Hugging Face hub write 'hf:{name}'; a local Hugging "
        "Face folder, a saved representation's path, 'torchvision:NAME' and an nn.Module are taken too)"
    )


def load_model(name: str, *, pretrained: bool = True, checkpoint: str | None = None, **model_kwargs: Any) -> nn.Module:
    """Build a model by name with the adapter that knows it; see `resolve` for the names.

    Raises:
        ValueError: nothing knows the name.
        OSError: its weights cannot be reached.
    """
    adapter, bare = resolve(name)
    return adapter.load(bare, pretrained=pretrained, checkpoint=checkpoint, **model_kwargs)


__all__ = [
    "Adapter",
    "Layer",
    "Preparation",
    "adapter_of",
    "adapters",
    "layers",
    "load_model",
    "register_adapter",
    "resolve",
    "spread_depths",
    "tower",
    "unwrap",
]
