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
from cka_plugin.representation.folder import failed_in, files_in, is_folder_of_saved
from cka_plugin.warnings import warn
from cka_plugin.wording import listed


def named(models: Sequence[Any], part: Any = None, functions: bool = False) -> list[tuple[str, Any]]:
    """Every model that was given, with a unique name.

    Mappings give names, other models have their own; of two that would have the same, names and folders are told apart
    by what differs in what was written, and anything else by a number. A saved comparison stands for its models, and so
    does a folder of saved representations.

    Args:
        models: as given.
        part: where only a part of each model is compared, any object may hold it.
        functions: a function that makes a model is taken too.

    Raises:
        TypeError: something that is no model.
        ValueError: no models.

    Example:
        >>> [name for name, _ in named(["timm:resnet18", "torchvision:resnet18", "vit", "vit"])]
        ['timm:resnet18', 'torchvision:resnet18', 'vit', 'vit#2']
    """
    given = _each(models)
    if not given:
        raise ValueError("no models given: expected names, modules or saved representations")
    for name, model in given:
        known = isinstance(model, str | os.PathLike | nn.Module | Representation)
        if not (known or part is not None or (functions and callable(model))):
            raise TypeError(
                f"{name}: a model is a name, an nn.Module, a Representation or a path; given {type(model).__name__}"
                + (" (data goes in as data=...)" if hasattr(model, "__iter__") else "")
            )
    names = [name if name is not None else own_name(model) for name, model in given]
    by_us = [i for i, (name, model) in enumerate(given) if name is None and _is_written(model)]
    for name in {names[i] for i in by_us}:
        alike = [i for i in by_us if names[i] == name]
        for i, telling in zip(alike, _told_apart([os.fspath(given[i][1]) for i in alike], name), strict=True):
            names[i] = telling
    return list(zip(_numbered(names), [model for _, model in given], strict=True))


def _each(models: Sequence[Any]) -> list[tuple[str | None, Any]]:
    """All models in mappings, lists and saved comparisons, with the names that the user gave, where any."""
    found: list[tuple[str | None, Any]] = []
    for model in models:
        if isinstance(model, Mapping):
            found += [(str(name), value) for name, value in model.items()]
        elif isinstance(model, list | tuple):
            found += _each(model)
        elif isinstance(model, str | os.PathLike) and is_folder_of_saved(model):
            found += files_in(model)
            if failed := failed_in(model):
                warn(f"{len(failed)} models of {model} have failed, and are left out: {listed(list(failed))}")
        elif isinstance(model, str | os.PathLike) and is_saved_file(model):
            found += [(None, representation) for representation in Representation.all_of_file(model)]
        else:
            found.append((None, model))
    return found


def _is_written(model: Any) -> bool:
    """Whether this is the name or the folder of a model, which tell more than its own name."""
    return isinstance(model, str | os.PathLike)


def _told_apart(texts: Sequence[str], name: str) -> list[str]:
    """Names for what was written, all of which have the same name of their own; those written alike stay alike."""
    ways = []
    for text in texts:
        parts = Path(os.path.abspath(text)).parts  # as written: two links to one folder are two names
        ways.append(["/".join(parts[-k:]) for k in range(1, len(parts) + 1)] if Path(text).exists() else [name, text])
    for more in range(max(map(len, ways))):
        chosen = [way[min(more, len(way) - 1)] for way in ways]
        if len(set(chosen)) == len(set(texts)):
            return chosen
    return [name] * len(texts)


def _numbered(names: Sequence[str]) -> list[str]:
    """The same, with a number behind each that was there before."""
    counts: dict[str, int] = {}
    taken = set(names)
    unique = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        chosen = name
        while counts[name] > 1 and (chosen == name or chosen in taken):
            chosen = f"{name}#{counts[name]}"
            counts[name] += chosen in taken
        taken.add(chosen)
        unique.append(chosen)
    return unique


def own_name(model: Any) -> str:
    """What a model is called where the user gave no name."""
    if isinstance(model, Representation):
        return model.name
    if isinstance(model, str | os.PathLike):
        text = os.fspath(model)
        if Path(text).exists():
            return Representation.load(text).name if is_saved_file(text) else Path(os.path.abspath(text)).name
        prefix, colon, rest = text.partition(":")
        return rest if colon else prefix
    if isinstance(model, nn.Module):
        inner, _ = adapters.unwrap(model)
        return type(inner).__name__
    if callable(model):
        return str(getattr(getattr(model, "func", model), "__name__", type(model).__name__))
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
