"""The call that made a comparison, as a reader would write it: what is no text or number is named by its type."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from cka_plugin.options import Options
from cka_plugin.representation import Representation

_NOT_OF_THE_RESULT = ("progress", "max_memory", "checkpoint_dir", "device")


def call_of(models: Sequence[Any], data: Any, options: Options) -> str:
    """A call of `cka.compare`.

    Args:
        models: as given.
        data: as given.
        options: of the call; those that are as by default are left out.

    Example:
        >>> call_of(["vit", {"mine": 1.0}], "photos/", Options(batch_size=32))
        "cka.compare('vit', {'mine': <float>}, data='photos/', batch_size=32)"
    """
    written = [_model(model) for model in models]
    if data is not None:
        written.append(f"data={_shown(data)}")
    for each in fields(options):
        value = getattr(options, each.name)
        if each.name not in _NOT_OF_THE_RESULT and not _same(value, each.default):
            written.append(f"{each.name}={_shown(value)}")
    return f"cka.compare({', '.join(written)})"


def _model(model: Any) -> str:
    if isinstance(model, Mapping):
        return "{" + ", ".join(f"{str(name)!r}: {_model(one)}" for name, one in model.items()) + "}"
    if isinstance(model, list | tuple):
        return "[" + ", ".join(map(_model, model)) + "]"
    if isinstance(model, str | os.PathLike):
        return repr(os.fspath(model))
    return f"<saved {model.name!r}>" if isinstance(model, Representation) else f"<{type(model).__name__}>"


def _shown(value: Any) -> str:
    if value is None or isinstance(value, str | bool | int | float):
        return repr(value)
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_shown(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple) and len(value) <= 10 and all(isinstance(one, str | int) for one in value):
        return repr(list(value))
    name = getattr(value, "__qualname__", "") if callable(value) else ""
    return f"<{name or type(value).__name__}>"  # nothing is asked of a user's object here, its length neither


def _same(value: Any, default: Any) -> bool:
    plain = isinstance(value, str | int | float)
    return value is default or (plain and value == default)
