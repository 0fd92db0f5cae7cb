"""How many examples something holds, and whether a list is of examples or of their members."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from cka_plugin.data.content import Key
from cka_plugin.data.kinds import is_image, is_sound, raw_value
from cka_plugin.data.labels import LABEL_KEYS

Number = bool | int | float | np.number | np.bool_


def is_minibatch(given: Any) -> bool | None:
    """Whether something holds several examples; None where it could be one example as well.

    Example:
        >>> import torch
        >>> is_minibatch((torch.ones(8, 3), torch.arange(8))), is_minibatch((torch.ones(3), 1))
        (True, False)
    """
    if isinstance(given, str) or raw_value(given) is not None:
        return False
    if (
        isinstance(given, list)
        and given
        and all(raw_value(value) is not None or holds_fields(value) for value in given)
    ):
        return True
    leaves = list(_leaves(given))
    if any(isinstance(leaf, Number | str) or raw_value(leaf) is not None or _axes(leaf) == 0 for leaf in leaves):
        return False
    lengths = {_length(leaf) for leaf in leaves if _length(leaf) is not None}
    alike = len(leaves) > 1 and len(lengths) == 1 and lengths != {1} and _axes(leaves[0]) > 1
    if alike and any(_is_column(leaf) for leaf in leaves[1:]):
        return True
    counts = Counter(length for leaf in leaves if (length := _length(leaf)) is not None)
    if len(counts) > 1 and max(counts.values()) == 1:
        return False
    if leaves and all(_axes(leaf) == 1 and not _is_column(leaf) for leaf in leaves):
        return False
    return None


def unwrapped(given: Any) -> Any:
    """Data classes as mappings of their fields, data frames as mappings of their columns."""
    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        return {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    if hasattr(given, "iloc") and hasattr(given, "columns"):
        return {str(name): given[name] for name in given.columns}
    return given


def is_list_of_items(batch: Any, n: int | None) -> bool:
    """Whether a minibatch is a list of examples (`collate_fn=list`), not a tuple or list of their members."""
    if (
        not isinstance(batch, list | tuple)
        or hasattr(batch, "_fields")
        or not batch
        or (n is not None and len(batch) != n)
    ):
        return False
    if all(holds_fields(value) or raw_value(value) is not None for value in batch):
        return True
    if all(isinstance(value, tuple | list) for value in batch):
        widths = {len(value) for value in batch}
        if len(widths) != 1:
            return False
        alike = all(len({_sort(value[place]) for value in batch}) == 1 for place in range(min(widths)))
        mixed = any(len({(_sort(part), getattr(part, "shape", None)) for part in value}) > 1 for value in batch)
        return alike and (
            mixed or (isinstance(batch, list) and isinstance(batch[0], tuple) if n is None else widths != {n})
        )
    if n is not None and all(isinstance(value, Tensor | np.ndarray) for value in batch):
        return any(_length(value) != n for value in batch)
    return all(_axes(value) == 3 and value.shape[0] in (1, 3, 4) for value in batch) if n is None else False


def is_nested(value: Sequence[Any], n: int) -> bool:
    """Whether a list of n within a minibatch is of members of (n, ...), not of n examples' values."""
    return all(isinstance(part, Tensor) and part.ndim > 0 and len(part) == n for part in value)


def is_turned(value: Any, key: Key, n: int) -> bool:
    """Whether a list holds the numbers of n examples place by place: what PyTorch makes of examples that are lists."""
    if not isinstance(value, list) or len(value) < 3 or not all(isinstance(part, Tensor) for part in value):
        return False
    alike = all(part.shape == (n,) and part.dtype == value[0].dtype for part in value)
    return alike and (key is not None or value[0].is_floating_point())


def _sort(value: Any) -> str:
    if isinstance(value, Number) or _axes(value) == 0:
        return "number"
    return type(value).__name__


def count_of(batch: Any, n: int | None) -> int:
    given = unwrapped(batch)
    leaves = list(_leaves(given))
    columns = [len(part) for part in parts_of(given) if isinstance(part, list | tuple)]
    lengths = [length for leaf in leaves if (length := _length(leaf)) is not None]
    if n is not None and n in (*lengths, *columns):
        return n
    if columns and len(columns) == len(parts_of(given)) and len(set(columns)) == 1:  # zip(*examples)
        return columns[0]
    if not lengths:
        raise ValueError(
            f"a minibatch of {type(batch).__name__} holds no tensors, images or texts: expected a tensor, (x, y), a "
            "mapping of tensors, or lists of images or texts"
        )
    named = [_length(given[key]) for key in LABEL_KEYS if key in given] if isinstance(given, Mapping) else []
    whole = [_length(leaf) for leaf in leaves[1:] if _is_column(leaf)]
    sure = [length for length in [*named, *whole] if length is not None]
    if sure:
        return sure[0]
    common = Counter(lengths).most_common()
    if len(common) > 1 and common[0][1] == common[1][1]:
        raise ValueError(
            f"a minibatch holds tensors of {' and '.join(str(length) for length, _ in common)} rows: nobody can tell "
            "how many examples it is; let the loader give as many rows of each"
        )
    return common[0][0]


def parts_of(given: Any) -> list[Any]:
    """The members of a minibatch, as they were given."""
    if isinstance(given, PackedSequence):
        return []
    if isinstance(given, Mapping):
        return list(given.values())
    return list(given) if isinstance(given, list | tuple) else []


def _leaves(given: Any) -> Iterator[Any]:
    given = unwrapped(given)
    if isinstance(given, PackedSequence):
        yield given
    elif isinstance(given, Mapping) and not is_sound(given):
        for value in given.values():
            yield from _leaves(value)
    elif isinstance(given, list | tuple) and _has_parts(given):
        for value in given:
            yield from _leaves(value)
    else:
        yield given


def _has_parts(given: Sequence[Any]) -> bool:
    """Whether a list or tuple is of members, not a column of numbers, words, images or mappings."""
    if all(raw_value(value) is not None or holds_fields(value) for value in given):
        return len(given) > 0 and isinstance(given, tuple) and not all(isinstance(value, str) for value in given)
    return isinstance(given, tuple) or any(isinstance(value, Tensor | np.ndarray | list | tuple) for value in given)


def _length(value: Any) -> int | None:
    """How many rows; None where that is no number of examples."""
    if isinstance(value, PackedSequence):
        return int(value.batch_sizes[0])
    if isinstance(value, list | tuple):
        return len(value)
    if hasattr(value, "shape"):
        return int(value.shape[0]) if len(value.shape) else None
    return None


def _axes(value: Any) -> int:
    return (
        len(value.shape)
        if isinstance(value, Tensor | np.ndarray | np.number)
        else 0
        if isinstance(value, Number)
        else -1
    )


def _is_column(value: Any) -> bool:
    """Whether it holds one thing an example for sure: whole numbers, words, images."""
    if isinstance(value, Tensor):
        return value.ndim == 1 and not value.is_floating_point()
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.dtype.kind in "iubUSO"
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(v, str | int) or is_image(v) or holds_fields(v) for v in value)
    )


def is_numbers(value: Any) -> bool:
    """Whether a list or tuple holds numbers, or lists of as many each."""
    if not isinstance(value, list | tuple) or not value or hasattr(value, "_fields"):
        return False
    if all(isinstance(part, Number) for part in value):
        return True
    return all(isinstance(part, list) and is_numbers(part) for part in value) and len({len(p) for p in value}) == 1


def holds_fields(value: Any) -> bool:
    """Whether it is a mapping of members, or a data class of them."""
    return (isinstance(value, Mapping) and not is_sound(value)) or (
        dataclasses.is_dataclass(value) and not isinstance(value, type)
    )
