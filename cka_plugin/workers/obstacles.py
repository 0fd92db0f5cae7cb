"""What keeps a user's code from running in several processes: what it holds that cannot be in two places."""

from __future__ import annotations

import io
import pickle
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from cka_plugin.data.kinds import is_image
from cka_plugin.lending.randomness import GENERATORS

_CODE = (type, types.ModuleType, types.BuiltinFunctionType, types.CodeType)


class _NoFile(io.RawIOBase):
    """Takes whatever is written, and keeps nothing."""

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        return len(content)


class _Obstacle(Exception):
    """Says what it is."""


class _Walk(pickle.Pickler):
    """Goes over all that an object holds, as pickling would, without writing arrays out."""

    def __init__(self) -> None:
        super().__init__(_NoFile(), protocol=5)
        self.functions: list[Callable[..., Any]] = []

    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, GENERATORS):
            raise _Obstacle(f"it holds a generator of random numbers ({type(value).__name__})")
        if isinstance(value, torch.Tensor):
            if value.device.type != "cpu":
                raise _Obstacle(f"it holds a tensor on {value.device}")
            return "tensor"
        picture = is_image(value) and not isinstance(value, type)
        if isinstance(value, io.IOBase) or (picture and getattr(value, "fp", None) is not None):  # not yet loaded
            raise _Obstacle(f"it holds an open file ({type(value).__name__})")
        if picture:
            return "picture"
        if isinstance(value, types.FunctionType):
            self.functions.append(value)
            return "function"
        if isinstance(value, np.ndarray):
            return None if value.dtype.hasobject else "array"
        return "code" if isinstance(value, _CODE) else None


def obstacle(*given: Any) -> str | None:
    """Why what is given cannot be used by several processes at once; None where nothing is known to speak against it.

    An open file has one place in it, which processes would move for one another; a generator of random numbers would
    give the same to each. What cannot be pickled (handles of databases) is taken for such a thing.

    Args:
        given: data sets, functions: also what functions have kept is looked at.

    Example:
        >>> import random
        >>> obstacle([1, 2], lambda x: x + 1), obstacle({"rng": random.Random(0)})
        (None, 'it holds a generator of random numbers (Random)')
    """
    seen: set[int] = set()
    left: list[Any] = list(given)
    try:
        while left:
            value = left.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            walk = _Walk()
            walk.dump(list(_kept_by(value)) if isinstance(value, types.FunctionType) else value)
            left += [function for function in walk.functions if function is not value]
    except _Obstacle as error:
        return str(error)
    except Exception as error:  # pickling calls code of others
        return f"it holds what cannot be in two processes ({type(error).__name__}: {error})"
    return None


def _kept_by(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    yield function.__defaults__
    yield function.__kwdefaults__
