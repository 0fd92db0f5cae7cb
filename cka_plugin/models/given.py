"""What the user gave as models, as named subjects: built, unwrapped, with their adapter and layers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import default_collate

from cka_plugin import sample
from cka_plugin.adapters import Adapter, Layer, Preparation
from cka_plugin.adapters import registry as adapters
from cka_plugin.adapters.base import GRANULARITIES
from cka_plugin.representation import Representation
from cka_plugin.representation import is_saved as is_saved_file


@dataclass
class Subject:
    """A model to run.

    Attributes:
        name: unique in its comparison.
        root: as it was given.
        module: the same without its wrappers (`torch.compile`, `DataParallel`): this one runs.
        adapter: of its framework.
        layers: paths are those of `root`.
        discover: see `Capture`.
        preparation: how raw examples become its inputs; None where nobody says.
    """

    name: str
    root: nn.Module
    module: nn.Module
    adapter: Adapter
    layers: list[Layer]
    discover: bool
    preparation: Preparation | None


def named(models: Sequence[Any]) -> list[tuple[str, Any]]:
    """Every model that was given, with a unique name; mappings give names, other models have their own.

    Raises:
        TypeError: something that is no model.
        ValueError: no models.
    """
    pairs: list[tuple[str, Any]] = []
    for model in models:
        if isinstance(model, Mapping):
            pairs += [(str(name), value) for name, value in model.items()]
        elif isinstance(model, list | tuple):
            pairs += named(model)
        else:
            pairs.append((own_name(model), model))
    if not pairs:
        raise ValueError("no models given: expected names, modules or saved representations")
    for name, model in pairs:
        if not isinstance(model, str | os.PathLike | nn.Module | Representation):
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


def saved(name: str, model: Any) -> Representation:
    """A representation under its name in the comparison."""
    representation = model if isinstance(model, Representation) else Representation.load(model)
    return representation.renamed(name)


def subject(
    name: str,
    model: Any,
    granularity: str = "block",
    pretrained: bool = True,
    transforms: Any = None,
    checkpoint: str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
) -> Subject:
    """Build a model where it is a name, and find its layers.

    Raises:
        ValueError: the name is unknown, or its layers cannot be told.
        OSError: its weights cannot be reached.
    """
    check_granularity(granularity)
    module = model
    if not isinstance(model, nn.Module):
        text = os.fspath(model)
        if Path(text).is_file():
            raise ValueError(
                f"{text} is a file but no saved representation: for a state dict, build its model and give it with "
                "checkpoint=, or give the module"
            )
        if text.startswith("sample:"):
            module = sample.model(text.removeprefix("sample:"))
        else:
            module = adapters.load_model(text, pretrained=pretrained, checkpoint=checkpoint, **(model_kwargs or {}))
    inner, _ = adapters.unwrap(module)
    if any(tensor.device.type == "meta" for tensor in inner.parameters()):
        raise ValueError(f"{name} has parameters on the meta device, without values: load its weights first")
    adapter = adapters.adapter_of(inner)
    found = adapters.layers(module, granularity)
    discover = granularity == "module" or adapter.name == "generic"
    return Subject(name, module, inner, adapter, found, discover, _preparation(name, inner, adapter, transforms))


def check_granularity(granularity: str) -> None:
    """Raise a ValueError unless `granularity` is known."""
    if granularity not in GRANULARITIES:
        raise ValueError(f"granularity {granularity!r}: expected one of {', '.join(GRANULARITIES)}")


def _preparation(name: str, module: nn.Module, adapter: Adapter, transforms: Any) -> Preparation | None:
    transform = transforms.get(name) if isinstance(transforms, Mapping) else transforms
    if transform is not None:
        return adapter.preparation_by(module, transform) or given_transform(transform)
    try:
        return adapter.preparation(module)
    except (ValueError, RuntimeError) as error:  # tensors need no preparation: said only where raw examples come
        return _impossible(error)


def _impossible(error: ValueError | RuntimeError) -> Preparation:
    """In the place of a preparation that cannot be had: raises why as soon as a raw example is to be prepared."""

    def collate(raw: Sequence[Any]) -> Any:
        raise error

    return Preparation(("image", "text", "audio"), f"impossible:{id(error)}", collate, "none: tensors as they are")


GIVEN = "given:"  # before the key of a preparation that is the user's own function


def given_transform(transform: Callable[[Any], Any]) -> Preparation:
    """The user's own function of one raw example, for any kind of example."""

    def collate(raw: Sequence[Any]) -> Any:
        prepared = default_collate([transform(example) for example in raw])
        return tuple(prepared) if isinstance(prepared, list) else prepared

    return Preparation(
        ("image", "text", "audio"), f"{GIVEN}{id(transform)}", collate, getattr(transform, "__name__", repr(transform))
    )


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
    check_granularity(granularity)
    if is_saved(model):
        return saved("", model).layers
    if isinstance(model, nn.Module):
        return adapters.layers(model, granularity)
    return adapters.layers(architecture(os.fspath(model), **load), granularity)


def architecture(name: str, **load: Any) -> nn.Module:
    """The bare architecture of a name, on the meta device where the framework can build it there."""
    if name.startswith("sample:"):
        return sample.model(name.removeprefix("sample:"))
    adapter, bare = adapters.resolve(name)
    try:
        with torch.device("meta"):
            return adapter.load(bare, pretrained=False, **load)
    except (NotImplementedError, RuntimeError):  # an initialiser that needs values
        return adapter.load(bare, pretrained=False, **load)
