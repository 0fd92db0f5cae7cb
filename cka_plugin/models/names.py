"""What the user gave as models, each with a unique name; and those that are saved representations already."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from cka_plugin.adapters import registry as adapters
from cka_plugin.models.selection import fitting, no_such_layers
from cka_plugin.options import Options
from cka_plugin.representation import Representation
from cka_plugin.representation import is_saved as is_saved_file


def named(models: Sequence[Any], part: Any = None) -> list[tuple[str, Any]]:
    """Every model that was given, with a unique name; mappings give names, other models have their own.

    Args:
        models: as given.
        part: where only a part of each model is compared, any object may hold it.

    Raises:
        TypeError: something that is no model.
        ValueError: no models.
    """
    pairs: list[tuple[str, Any]] = []
    for model in models:
        if isinstance(model, Mapping):
            pairs += [(str(name), value) for name, value in model.items()]
        elif isinstance(model, list | tuple):
            pairs += named(model, part)
        else:
            pairs.append((own_name(model), model))
    if not pairs:
        raise ValueError("no models given: expected names, modules or saved representations")
    for name, model in pairs:
        if part is None and not isinstance(model, str | os.PathLike | nn.Module | Representation):
            raise TypeError(
                f"{name}: a model is a name, an nn.Module, a Representation or a path; given {type(model).__name__}"
                + (" (data goes in as data=...)" if hasattr(model, "__iter__") else "")
            )
    counts: dict[str, int] = {}
    taken = {name for name, _ in pairs}
    unique: list[tuple[str, Any]] = []
    for name, model in pairs:
        counts[name] = counts.get(name, 0) + 1
        chosen = name
        while counts[name] > 1 and (chosen == name or chosen in taken):
            chosen = f"{name}#{counts[name]}"
            counts[name] += chosen in taken
        taken.add(chosen)
        unique.append((chosen, model))
    return unique


def own_name(model: Any) -> str:
    """What a model is called where the user gave no name."""
    if isinstance(model, Representation):
        return model.name
    if isinstance(model, str | os.PathLike):
        text = os.fspath(model)
        if Path(text).exists():
            return Representation.load(text).name if is_saved_file(text) else Path(text).resolve().name
        prefix, colon, rest = text.partition(":")
        return rest if colon else prefix
    if isinstance(model, nn.Module):
        inner, _ = adapters.unwrap(model)
        return type(inner).__name__
    return type(model).__name__


def is_saved(model: Any) -> bool:
    """Whether this is a representation, or the path of a saved one."""
    return isinstance(model, Representation) or (isinstance(model, str | os.PathLike) and is_saved_file(model))


def saved(name: str, model: Any, options: Options | None = None) -> Representation:
    """A representation under its name in the comparison, with those of its layers that were asked for.

    Raises:
        ValueError: it has none of the layers.
    """
    representation = model if isinstance(model, Representation) else Representation.load(model)
    wanted = None if options is None else options.of_model(name).layers
    if wanted is not None:
        kept = fitting(wanted, representation.layers)  # type: ignore[arg-type]
        if not kept:
            raise ValueError(no_such_layers(list(wanted), name, representation.layers))
        representation = representation.of_layers(kept)
    return representation.renamed(name)
