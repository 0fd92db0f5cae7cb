"""`layers`: the layers of a model under their common names, without its weights."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from cka_plugin import sample
from cka_plugin.adapters import Layer
from cka_plugin.adapters import registry as adapters
from cka_plugin.models.names import is_saved, saved
from cka_plugin.models.python_function import PREFIX, made_by_function
from cka_plugin.options import check_option


def layers(model: Any, granularity: str = "block", **load: Any) -> list[Layer]:
    """The layers of a model under their common names.

    Args:
        model: a name (built without weights), an `nn.Module`, a `Representation` or the path of a saved one.
        granularity: `stage`, `block` or `module`.
        load: `checkpoint`, and what the framework's own builder takes.

    Returns:
        Layers in the order in which they fire, each with name, path, kind and relative depth.

    Raises:
        ValueError: an unknown model or granularity, or a model whose layers cannot be told.

    Example:
        >>> from torch import nn
        >>> block = lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        >>> net = nn.Sequential(nn.Linear(2, 4), block(), block(), block(), nn.Linear(4, 3))
        >>> [layer.kind for layer in layers(net)].count("block")
        3
    """
    check_option("granularity", granularity)
    if is_saved(model):
        return saved("", model).layers
    if isinstance(model, nn.Module):
        return adapters.layers(model, granularity)
    return adapters.layers(architecture(os.fspath(model), **load), granularity)


def architecture(name: str, **load: Any) -> nn.Module:
    """The bare architecture of a name, on the meta device where the framework can build it there."""
    if name.startswith(PREFIX):
        return made_by_function(name)
    if name.startswith("sample:"):
        return sample.model(name.removeprefix("sample:"))
    adapter, bare = adapters.resolve(name)
    try:
        with torch.device("meta"):
            return adapter.load(bare, pretrained=False, **load)
    except (NotImplementedError, RuntimeError):  # an initialiser that needs values
        return adapter.load(bare, pretrained=False, **load)
