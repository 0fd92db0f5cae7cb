"""Models by name of a Python function that makes them: `python:package.module:function`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from torch import nn

PREFIX = "python:"


def made_by_function(name: str) -> nn.Module:
    """The module that a function without arguments makes.

    Args:
        name: `python:package.module:function`; modules are looked for in the current folder too, as by `python -m`.

    Raises:
        ValueError: the module or the function does not exist.
        TypeError: what it made is no module.

    Example:
        >>> made_by_function("python:torch.nn:Identity")
        Identity()
    """
    module, colon, function = name.removeprefix(PREFIX).partition(":")
    if not colon:
        raise ValueError(f"model {name!r}: expected python:package.module:function")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(f"model {name!r}: {error}") from error
    make = getattr(found, function, None)
    if not callable(make):
        raise ValueError(f"model {name!r}: {module} has no function {function!r}")
    made = make()
    if not isinstance(made, nn.Module):
        raise TypeError(f"model {name!r}: expected an nn.Module; {function} returned {type(made).__name__}")
    return made
