"""The examples of a minibatch in another order: inputs whose first axis is the examples', rearranged alike."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


def exchanged(n: int) -> Tensor:
    """(n,) an order in which the examples change places, two and two without any regularity, the same every time.

    Of an odd number three change places in a circle. What a model adds to each place, such as random numbers, then
    falls out: of two examples that change places one gains what the other one loses.

    Example:
        >>> order = exchanged(64)
        >>> bool((order == torch.arange(64)).any()), bool((order[order] == torch.arange(64)).all())
        (False, True)
    """
    shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(n))
    order = torch.arange(n)
    circle = 3 if n % 2 and n > 1 else 0
    order[shuffled[:circle]] = shuffled[:circle].roll(1)
    pairs = shuffled[circle:][: (n - circle) // 2 * 2].view(-1, 2)
    order[pairs[:, 0]], order[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    return order


def doubled(n: int) -> Tensor:
    """(n,) every second example in the place of its neighbour too: what is sorted stays sorted.

    Sequences that must come longest first (`pack_padded_sequence`) allow no other order.

    Example:
        >>> doubled(5).tolist()
        [0, 0, 2, 2, 4]
    """
    return torch.arange(n) // 2 * 2


def reordered(inputs: Any, order: Tensor) -> Any:
    """Copies of the inputs with example `order[i]` in place i; what is not one entry an example stays as it is.

    Args:
        inputs: tensors, arrays, packed sequences and lists, in tuples, mappings and data classes.
        order: (n,) numbers of examples.

    Example:
        >>> reordered({"x": torch.tensor([1, 2, 3]), "words": ["a", "b", "c"], "t": 5}, torch.tensor([2, 0, 1]))
        {'x': tensor([3, 1, 2]), 'words': ['c', 'a', 'b'], 't': 5}
    """
    n = len(order)
    if isinstance(inputs, Tensor):
        if inputs.ndim == 0 or inputs.shape[0] != n:
            return inputs.clone()
        if inputs.is_nested:
            rows = inputs.unbind()
            return torch.nested.as_nested_tensor([rows[i] for i in order.tolist()], layout=inputs.layout)
        moved = inputs.index_select(0, order.to(inputs.device))
        if inputs.ndim == 4 and inputs.is_contiguous(memory_format=torch.channels_last):
            moved = moved.contiguous(memory_format=torch.channels_last)
        return moved
    if isinstance(inputs, np.ndarray):
        return inputs[order.numpy()] if inputs.ndim and len(inputs) == n else inputs.copy()
    if isinstance(inputs, PackedSequence):
        padded, lengths = pad_packed_sequence(inputs)
        kept = inputs.unsorted_indices is None
        moved, lengths = padded.index_select(1, order.to(padded.device)), lengths[order]
        return pack_padded_sequence(moved, lengths, enforce_sorted=kept)
    if isinstance(inputs, Mapping):
        made = {key: reordered(value, order) for key, value in inputs.items()}
        return made if type(inputs) is dict else _like(inputs, made)
    if isinstance(inputs, list | tuple):
        parts = [reordered(value, order) for value in inputs]
        if len(inputs) == n and not any(_one_an_example(value, n) for value in inputs):
            parts = [parts[i] for i in order.tolist()]  # texts, images of several sizes
        return type(inputs)(*parts) if hasattr(inputs, "_fields") else type(inputs)(parts)
    if dataclasses.is_dataclass(inputs) and not isinstance(inputs, type):
        parts_of = {field.name: getattr(inputs, field.name) for field in dataclasses.fields(inputs) if field.init}
        return dataclasses.replace(inputs, **{key: reordered(value, order) for key, value in parts_of.items()})
    return inputs


def _one_an_example(value: Any, n: int) -> bool:
    return isinstance(value, Tensor | np.ndarray) and value.ndim > 0 and len(value) == n


def _like(given: Mapping[str, Any], made: dict[str, Any]) -> Any:
    """A mapping of the same type (transformers' `BatchEncoding`), with other values."""
    try:
        other: Any = copy.copy(given)
        for key, value in made.items():
            other[key] = value
        return other
    except TypeError:  # it cannot be written to
        return made
