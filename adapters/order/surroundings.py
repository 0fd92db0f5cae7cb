"""What a model's code keeps outside the model: globals of its files, attributes of its classes, function caches.

A forward pass on placeholders must leave nothing there: a table of placeholders in a class attribute would be used by
every later pass.
"""

from __future__ import annotations

import contextlib
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from functools import _lru_cache_wrapper
from types import MethodType
from typing import Any

from torch import nn

_CONTAINERS = (dict, OrderedDict, defaultdict, list, set, deque)
_LIBRARIES = ("torch", "numpy", "builtins", "cka_plugin")  # whose caches do not depend on what a model is given
_DEPTH = 3  # of containers within containers


@contextlib.contextmanager
def surroundings_kept(model: nn.Module) -> Iterator[None]:
    """Put back, at the end, what the code of `model` has changed outside of it.

    Looked at are the files that define its classes, and those of the same package whose functions they use: names, and
    what plain containers hold. A function's cache (`functools.lru_cache`) that has grown is emptied, since what it held
    before cannot be told from what came in.

    Args:
        model: any module.

    Example:
        >>> class Counting(nn.Module):
        ...     seen = []
        >>> with surroundings_kept(Counting()):
        ...     Counting.seen.append(1)
        >>> Counting.seen
        []
    """
    spaces = _namespaces(model)
    names = [(space, dict(vars(space))) for space in spaces]
    held: dict[int, tuple[Any, Any]] = {}
    caches = {}
    for _, attributes in names:
        for value in attributes.values():
            _note(value, held, _DEPTH)
            if isinstance(cache := _function(value), _lru_cache_wrapper):
                caches[id(cache)] = (cache, cache.cache_info().currsize)
    try:
        yield
    finally:
        for container, content in held.values():
            if not _same(container, content):
                _refill(container, content)
        for space, before in names:
            _put_back(space, before)
        for cache, size in caches.values():
            if cache.cache_info().currsize != size:
                cache.cache_clear()


def _namespaces(model: nn.Module) -> list[Any]:
    """The classes of the modules of `model` that are no library's, the files that define them, and what these use."""
    classes = [cls for cls in {type(module): None for module in model.modules()} if _is_own(cls.__module__)]
    spaces: dict[int, Any] = {}
    waiting: list[Any] = [base for cls in classes for base in cls.__mro__ if _is_own(base.__module__)]
    while waiting:
        found = waiting.pop()
        if id(found) in spaces:
            continue
        spaces[id(found)] = found
        home = found.__module__ if isinstance(found, type) else found.__name__
        values = list(vars(found).values())
        if isinstance(found, type):
            waiting += [sys.modules[home]] if home in sys.modules else []
        package = home.partition(".")[0]
        for value in values:
            where = getattr(_function(value), "__module__", None)
            if isinstance(where, str) and where.partition(".")[0] == package and where in sys.modules:
                waiting.append(sys.modules[where])
            if isinstance(value, type) and isinstance(where, str) and where.partition(".")[0] == package:
                waiting.append(value)
    return list(spaces.values())


def _is_own(module: str) -> bool:
    return module.partition(".")[0] not in _LIBRARIES


def _function(value: Any) -> Any:
    """What a function, method or property calls."""
    for name in ("__func__", "fget"):
        value = getattr(value, name, value) if isinstance(value, staticmethod | classmethod | property) else value
    return value.__func__ if isinstance(value, MethodType) else value


def _note(value: Any, held: dict[int, tuple[Any, Any]], depth: int) -> None:
    """Remember what plain containers hold, containers within them too."""
    if type(value) not in _CONTAINERS or id(value) in held or not depth:
        return
    held[id(value)] = (value, list(value.items()) if isinstance(value, dict) else list(value))
    for inner in list(value.values()) if isinstance(value, dict) else list(value):
        _note(inner, held, depth - 1)


def _same(container: Any, content: list[Any]) -> bool:
    now = list(container.items()) if isinstance(container, dict) else list(container)
    if len(now) != len(content):
        return False
    if isinstance(container, dict):
        return all(a[0] is b[0] and a[1] is b[1] for a, b in zip(now, content, strict=True))
    return all(a is b for a, b in zip(now, content, strict=True))


def _refill(container: Any, content: list[Any]) -> None:
    container.clear()
    if isinstance(container, dict | set):
        container.update(content)
    else:
        container.extend(content)


def _put_back(space: Any, before: dict[str, Any]) -> None:
    now = vars(space)
    for name in [name for name in now if name not in before]:
        delattr(space, name)
    for name, value in before.items():
        if name not in now or now[name] is not value:
            setattr(space, name, value)


__all__ = ["surroundings_kept"]
