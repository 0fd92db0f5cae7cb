"""One reading of an item and of a minibatch for all containers.

An example may be a tensor, array, number, text, image, sound or conversation, or a tuple, named tuple, data class or
mapping of such. A minibatch is the same with one axis more: tensors of (n, ...), lists of n raw values, or a list of n
examples. Both become a `Content`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cka_plugin.data.content import Content, Key, Member, joined
from cka_plugin.data.kinds import PICTURES, is_chat, is_image, is_picture, is_sound, raw_value
from cka_plugin.data.labels import LABEL_KEYS

Number = bool | int | float | np.number | np.bool_


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
    if _is_list_of_items(batch, n):
        return of_items(list(batch))
    count = _count(batch, n)
    return _of(batch, count, lambda value, key: _minibatch_leaf(value, key, count))


def is_minibatch(given: Any) -> bool | None:
    """Whether something holds several examples; None where it could be one example as well.

    Example:
        >>> is_minibatch((torch.ones(8, 3), torch.arange(8))), is_minibatch((torch.ones(3), 1))
        (True, False)
    """
    if isinstance(given, str) or raw_value(given) is not None:
        return False
    if isinstance(given, list) and given and all(raw_value(value) is not None or _is_dict(value) for value in given):
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


# The tree of an item or a minibatch


def _unwrapped(given: Any) -> Any:
    """Data classes as mappings of their fields, data frames as mappings of their columns."""
    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        return {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    if hasattr(given, "iloc") and hasattr(given, "columns"):
        return {str(name): given[name] for name in given.columns}
    return given


def _of(given: Any, n: int, leaf: Any) -> Content:
    members: list[Member] = []

    def walk(value: Any, key: Key) -> Any:
        value = _unwrapped(value)
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
    if _is_numbers(value) and not (isinstance(value, tuple) and len(value) == 2):
        return Member(key, _tensor(np.asarray(value)[None]), plain=True)
    if isinstance(value, Mapping | tuple) or dataclasses.is_dataclass(value):
        return None
    if isinstance(value, list) and value and (key is None or all(isinstance(v, Tensor | np.ndarray) for v in value)):
        return None
    return Member(key, [value])


def _minibatch_leaf(value: Any, key: Key, n: int) -> Member | None:
    if isinstance(value, Tensor):
        return Member(key, value.detach(), shared=value.ndim == 0 or len(value) != n)
    if hasattr(value, "to_numpy") and not isinstance(value, Mapping):  # a column of a table
        value = value.tolist() if value.to_numpy().dtype.kind == "O" else value.to_numpy()
    if isinstance(value, np.ndarray):
        return _array_leaf(value, key, n)
    if isinstance(value, list | tuple) and len(value) == n and not hasattr(value, "_fields"):
        if _is_nested(value, n) or (key is None and not _is_numbers(list(value))):
            return None
        if _is_numbers(list(value)):
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


# How many examples


def _is_list_of_items(batch: Any, n: int | None) -> bool:
    """Whether a minibatch is a list of examples (`collate_fn=list`), not a tuple or list of their members."""
    if (
        not isinstance(batch, list | tuple)
        or hasattr(batch, "_fields")
        or not batch
        or (n is not None and len(batch) != n)
    ):
        return False
    if all(_is_dict(value) or raw_value(value) is not None for value in batch):
        return True
    if all(isinstance(value, tuple | list) for value in batch):
        widths = {len(value) for value in batch}
        if len(widths) != 1:
            return False
        alike = all(len({_sort(value[place]) for value in batch}) == 1 for place in range(min(widths)))
        mixed = any(len({_sort(part) for part in value}) > 1 for value in batch)
        return alike and (
            mixed or (isinstance(batch, list) and isinstance(batch[0], tuple) if n is None else widths != {n})
        )
    if n is not None and all(isinstance(value, Tensor | np.ndarray) for value in batch):
        return any(_length(value) != n for value in batch)
    return all(_axes(value) == 3 and value.shape[0] in (1, 3, 4) for value in batch) if n is None else False


def _is_nested(value: Sequence[Any], n: int) -> bool:
    """Whether a list of n within a minibatch is of members of (n, ...), not of n examples' values."""
    return all(isinstance(part, Tensor) and part.ndim > 0 and len(part) == n for part in value)


def _sort(value: Any) -> str:
    if isinstance(value, Number) or _axes(value) == 0:
        return "number"
    return type(value).__name__


def _count(batch: Any, n: int | None) -> int:
    given = _unwrapped(batch)
    leaves = list(_leaves(given))
    columns = [len(part) for part in _parts(given) if isinstance(part, list | tuple)]
    lengths = [length for leaf in leaves if (length := _length(leaf)) is not None]
    if n is not None and n in (*lengths, *columns):
        return n
    if columns and len(columns) == len(_parts(given)) and len(set(columns)) == 1:  # zip(*examples)
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


def _parts(given: Any) -> list[Any]:
    """The members of a minibatch, as they were given."""
    if isinstance(given, Mapping):
        return list(given.values())
    return list(given) if isinstance(given, list | tuple) else []


def _leaves(given: Any) -> Iterator[Any]:
    given = _unwrapped(given)
    if isinstance(given, Mapping) and not is_sound(given):
        for value in given.values():
            yield from _leaves(value)
    elif isinstance(given, list | tuple) and _has_parts(given):
        for value in given:
            yield from _leaves(value)
    else:
        yield given


def _has_parts(given: Sequence[Any]) -> bool:
    """Whether a list or tuple is of members, not a column of numbers, words, images or mappings."""
    if all(raw_value(value) is not None or _is_dict(value) for value in given):
        return len(given) > 0 and isinstance(given, tuple) and not all(isinstance(value, str) for value in given)
    return isinstance(given, tuple) or any(isinstance(value, Tensor | np.ndarray | list | tuple) for value in given)


def _length(value: Any) -> int | None:
    """How many rows; None where that is no number of examples."""
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
        and all(isinstance(v, str | int) or is_image(v) or _is_dict(v) for v in value)
    )


def _is_numbers(value: Any) -> bool:
    """Whether a list or tuple holds numbers, or lists of as many each."""
    if not isinstance(value, list | tuple) or not value or hasattr(value, "_fields"):
        return False
    if all(isinstance(part, Number) for part in value):
        return True
    return all(isinstance(part, list) and _is_numbers(part) for part in value) and len({len(p) for p in value}) == 1


def _is_dict(value: Any) -> bool:
    return isinstance(value, Mapping) and not is_sound(value)


__all__ = ["is_chat", "is_minibatch", "is_picture", "of_item", "of_items", "of_minibatch"]
