"""`layers`: the layers of a model under their common names, without its weights."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from cka_plugin.adapters import Layer
from cka_plugin.models.building import architecture
from cka_plugin.models.chosen import choose
from cka_plugin.models.names import is_saved, own_name, saved
from cka_plugin.options import Options


def layers(
    model: Any,
    granularity: str = "block",
    *,
    checkpoint: str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    layers: Iterable[str] | None = None,
    part: str | None = None,
    **load: Any,
) -> list[Layer]:
    """The layers of a model under their common names.

    Args:
        model: a name (built without weights), an `nn.Module`, a `Representation` or the path of a saved one.
        granularity: `stage`, `block` or `module`.
        checkpoint, model_kwargs, layers, part: as for `compare`.
        load: what `model_kwargs` holds, written out; `pretrained` changes nothing, names do not depend on weights.

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
    return layers_and_module(model, Options.of(locals()), load)[0]


def layers_and_module(model: Any, options: Options, load: Mapping[str, Any]) -> tuple[list[Layer], nn.Module | None]:
    """The layers of a model, and the model, built where it is a name; None where it is saved."""
    if is_saved(model):
        return saved("", model, options).layers, None
    if isinstance(model, str | os.PathLike):
        keywords = {**(options.model_kwargs or {}), **load}
        keywords.pop("pretrained", None)
        if options.checkpoint is not None:
            keywords["checkpoint"] = options.checkpoint
        module = architecture(os.fspath(model), **keywords)
    else:
        module = model
    return choose(module, options, own_name(model)).layers, module
