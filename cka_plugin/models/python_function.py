"""Python functions by name, `python:package.module:function`: one that makes a model, or that an option takes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

PREFIX = "python:"


def made_by_function(name: str) -> nn.Module:
    """The module that a function without arguments makes.

    Args:
        name: as for `function_called`.

    Raises:
        ValueError: the module or the function does not exist.
        TypeError: what it made is no module.

    Example:
        >>> made_by_function("python:torch.nn:Identity")
        Identity()
    """
    made = function_called(name, "model")()
    if not isinstance(made, nn.Module):
        function = name.rpartition(":")[2]
        raise TypeError(f"model {name!r}: expected an nn.Module; {function} returned {type(made).__name__}")
    return made


def function_called(name: str, what: str) -> Callable[..., Any]:
    """The function of a name.

    Args:
        name: `python:package.module:function`; modules are looked for in the current folder too, as by `python -m`.
        what: it is given for, for messages.

    Raises:
        ValueError: the module or the function does not exist.

    Example:
        >>> function_called("python:operator:neg", "transforms")(2)
        -2
    """
    module, colon, function = name.removeprefix(PREFIX).partition(":")
    if not (colon and name.startswith(PREFIX)):
        raise ValueError(f"{what} {name!r}: expected python:package.module:function")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(f"{what} {name!r}: {error}") from error
    called = getattr(found, function, None)
    if not callable(called):
        raise ValueError(f"{what} {name!r}: {module} has no function {function!r}")
    return called  # type: ignore[no-any-return]


def functions_called(names: Any, what: str) -> Any:
    """The function of a name, or those of a mapping from models to names.

    Raises:
        ValueError: as `function_called`; or something that is no name.
    """
    if isinstance(names, Mapping):
        return {model: functions_called(name, what) for model, name in names.items()}
    if not isinstance(names, str):
        raise ValueError(f"{what} {names!r}: expected python:package.module:function")
    return function_called(names, what)
