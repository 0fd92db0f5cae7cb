"""One reading of an item and of a minibatch for all containers.

An example may be a tensor, array, number, text, image, sound or conversation, or a tuple, named tuple, data class or
mapping of such. A minibatch is the same with one axis more: tensors of (n, ...), lists of n raw values, or a list of n
examples. Both become a `Content`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, unpack_sequence

from cka_plugin.data.content import Content, Key, Member, joined
from cka_plugin.data.counting import (
    Number,
    count_of,
    is_list_of_items,
    is_nested,
    is_numbers,
    is_turned,
    parts_of,
    unwrapped,
)
from cka_plugin.data.kinds import PICTURES, raw_value


def of_item(item: Any) -> Content:
    """One example as a content of one."""
    return _of(item, 1, lambda value, key: _item_leaf(value, key))


def of_items(items: Sequence[Any]) -> Content:
    """Examples, one after the other, as one content.

    Raises:
        ValueError: they do not hold the same members.
    """
    return joined([of_item(item) for item in items])


def of_minibatch(batch: Any, n: int | None = None) -> Content:
    """A minibatch as it was given.

    Args:
        batch: it.
        n: how many examples it holds, where that is known.

    Raises:
        ValueError: nobody can tell how many examples it holds.
    """
    if is_list_of_items(batch, n):
        return of_items(list(batch))
    count = count_of(batch, n)
    parts = parts_of(batch)
    columns = len(parts) > 1 and all(isinstance(part, list | tuple) and len(part) == count for part in parts)
    return _of(batch, count, lambda value, key: _minibatch_leaf(value, key, count, columns))


# The tree of an item or a minibatch


def _of(given: Any, n: int, leaf: Any) -> Content:
    members: list[Member] = []

    def walk(value: Any, key: Key) -> Any:
        value = unwrapped(value)
        made = leaf(value, key)
        if made is not None:
            members.append(made)
            return len(members) - 1
        if isinstance(value, Mapping):
            return {k: walk(part, str(k) if key is None else f"{key}.{k}") for k, part in value.items()}
        if isinstance(value, list | tuple) and len(value):
            names: Sequence[Any] = getattr(value, "_fields", range(len(value)))
            parts = [
                walk(part, name if key is None else f"{key}.{name}") for name, part in zip(names, value, strict=True)
            ]
            return (
                type(value)(*parts)
                if hasattr(value, "_fields")
                else (parts if isinstance(value, list) else tuple(parts))
            )
        members.append(Member(key, [value] * n))
        return len(members) - 1

    form = walk(given, None)
    if len(members) == 1 and isinstance(form, list | tuple) and not hasattr(form, "_fields"):
        members = [dataclasses.replace(members[0], key=None)]  # (x,) is x
    return Content(tuple(members), n, form)


def _item_leaf(value: Any, key: Key) -> Member | None:
    raw = raw_value(value)
    if raw is not None:
        return Member(key, [raw])
    if isinstance(value, Tensor):
        return Member(key, value.detach().unsqueeze(0))
    if isinstance(value, Number):
        return Member(key, _tensor(np.asarray([value])), plain=True)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return Member(key, _tensor(value[None]), plain=True)
    if is_numbers(value) and not (isinstance(value, tuple) and len(value) == 2):
        return Member(key, _tensor(np.asarray(value)[None]), plain=True)
    if isinstance(value, Mapping | tuple) or dataclasses.is_dataclass(value):
        return None
    if isinstance(value, list) and value and (key is None or all(isinstance(v, Tensor | np.ndarray) for v in value)):
        return None
    return Member(key, [value])


def _minibatch_leaf(value: Any, key: Key, n: int, columns: bool) -> Member | None:
    if isinstance(value, PackedSequence):
        return Member(key, unpack_sequence(value), packed=True)
    if isinstance(value, Tensor):
        return Member(key, value.detach(), shared=value.ndim == 0 or len(value) != n)
    if hasattr(value, "to_numpy") and not isinstance(value, Mapping):  # a column of a table
        value = value.tolist() if value.to_numpy().dtype.kind == "O" else value.to_numpy()
    if isinstance(value, np.ndarray):
        return _array_leaf(value, key, n)
    if not columns and is_turned(value, key, n):
        return Member(key, torch.stack(list(value), dim=1), plain=True)
    if isinstance(value, list | tuple) and len(value) == n and not hasattr(value, "_fields"):
        if (is_nested(value, n) and not columns) or (key is None and not is_numbers(list(value))):
            return None
        if is_numbers(list(value)):
            return Member(key, _tensor(np.asarray(value)), plain=True)
        if all(isinstance(part, str) for part in value):
            return Member(key, list(value))
        return dataclasses.replace(joined([_column_item(part) for part in value]).members[0], key=key)
    if isinstance(value, Mapping | list | tuple):
        return None
    return Member(key, value, shared=True)


def _column_item(value: Any) -> Content:
    made = _item_leaf(value, None)
    return Content((Member(None, [value]) if made is None else made,), 1)


def _array_leaf(array: np.ndarray[Any, Any], key: Key, n: int) -> Member:
    if array.ndim == 0 or len(array) != n:
        return Member(key, array, shared=True)
    pictures = array.ndim == 3 or (array.ndim == 4 and array.shape[-1] in (1, 3, 4))
    if array.dtype.name in PICTURES and pictures:
        return Member(key, [raw_value(pixels) for pixels in array])
    if array.dtype.kind in "biuf":
        return Member(key, _tensor(array), plain=True)
    return Member(key, [str(v) if isinstance(v, str) else v for v in array.tolist()])


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    array = array.astype(np.int64) if array.dtype.kind == "u" and array.dtype != np.uint8 else array
    return torch.from_numpy(np.ascontiguousarray(array))
