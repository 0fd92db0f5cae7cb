"""How a model is called: which of the inputs by name its `forward` takes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def parameters_of(module: nn.Module) -> tuple[inspect.Parameter, ...]:
    """The parameters of `forward`, but for `self`; none where they cannot be told (a scripted module).

    Example:
        >>> [parameter.name for parameter in parameters_of(nn.Linear(2, 2))]
        ['input']
    """
    return _of_class(type(module))  # type: ignore[arg-type]


@functools.cache
def _of_class(owner: Any) -> tuple[inspect.Parameter, ...]:
    try:
        return tuple(inspect.signature(owner.forward).parameters.values())[1:]
    except (AttributeError, TypeError, ValueError):
        return ()


def named(module: nn.Module, args: Iterable[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by the names that `forward` has for them; those that it has none for are left out."""
    names = [p.name for p in parameters_of(module) if p.kind not in _REST and p.name not in kwargs]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def takes_any(module: nn.Module) -> bool:
    """Whether `forward` takes keywords of any name, or does not say which it takes."""
    found = parameters_of(module)
    return not found or any(p.kind is p.VAR_KEYWORD for p in found)


def takes_mapping(module: nn.Module, inputs: Mapping[str, Any]) -> bool:
    """Whether inputs by name are the one argument of `forward`: it needs one, and none by a name of theirs.

    Example:
        >>> class Takes(nn.Module):
        ...     def forward(self, batch):
        ...         return batch["x"]
        >>> takes_mapping(Takes(), {"x": 1}), takes_mapping(Takes(), {"batch": 1})
        (True, False)
    """
    found = [p for p in parameters_of(module) if p.kind not in _REST]
    needed = [p for p in found if p.default is p.empty and p.kind is not p.KEYWORD_ONLY]
    return len(needed) == 1 and not any(p.name in inputs for p in found)


__all__ = ["named", "parameters_of", "takes_any", "takes_mapping"]
