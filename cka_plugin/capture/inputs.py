"""Inputs of a model: brought to its device, copied for it alone, described for messages."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


def to_device(inputs: Any, device: torch.device) -> Any:
    """The same inputs with every tensor on `device`."""
    if isinstance(inputs, Tensor):
        return inputs.to(device, non_blocking=True)
    if isinstance(inputs, PackedSequence):
        return inputs.to(device)  # type: ignore[arg-type]  # its stub knows dtypes alone
    if isinstance(inputs, Mapping):
        return {key: to_device(value, device) for key, value in inputs.items()}
    if isinstance(inputs, list | tuple):
        moved = [to_device(value, device) for value in inputs]
        if hasattr(inputs, "_fields"):
            return type(inputs)(*moved)
        return moved if isinstance(inputs, list) else tuple(moved)
    return inputs


def own_copy(inputs: Any, channels_last: bool = False) -> Any:
    """Copies of inputs, for one model to do with what it likes: the next model and the user have theirs.

    Args:
        inputs: tensors and arrays in tuples, lists, mappings and other objects.
        channels_last: image tensors, (n, channels, height, width), are laid out so as they are copied, but in lists:
            one copy where two would lie in memory while the model runs.

    Example:
        >>> x = torch.ones(2)
        >>> own_copy({"x": x})["x"].zero_(), x
        (tensor([0., 0.]), tensor([1., 1.]))
    """
    if isinstance(inputs, Tensor):
        kind = torch.channels_last if channels_last and _can_be_laid_out(inputs) else torch.preserve_format
        return inputs.detach().clone(memory_format=kind).requires_grad_(inputs.requires_grad)
    if isinstance(inputs, Mapping):
        return {key: own_copy(value, channels_last) for key, value in inputs.items()}
    if isinstance(inputs, list | tuple) and not isinstance(inputs, PackedSequence):
        parts = [own_copy(value, channels_last and isinstance(inputs, tuple)) for value in inputs]
        return type(inputs)(*parts) if hasattr(inputs, "_fields") else type(inputs)(parts)
    return copy.deepcopy(inputs)


def _can_be_laid_out(x: Tensor) -> bool:
    plain = x.ndim == 4 and x.is_floating_point() and x.layout == torch.strided
    return plain and not x.is_contiguous(memory_format=torch.channels_last)  # strides of one channel tell no format


_NO_MEMORY = ("out of memory", "_ALLOC_FAILED", "can't allocate memory")  # of MPS; of cuDNN and cuBLAS; of a CPU


def hint_of(error: Exception, inputs: Any) -> str:
    """What may be done about a model that failed on these inputs; empty where nothing is known.

    Example:
        >>> hint_of(MemoryError(), torch.zeros(2, 3))
        "; a smaller batch_size (4 is the least), precision='bfloat16' or another device may do"
    """
    kinds = MemoryError | getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)
    if isinstance(error, kinds) or any(words in str(error) for words in _NO_MEMORY):
        return "; a smaller batch_size (4 is the least), precision='bfloat16' or another device may do"
    return hint(inputs)


def hint(inputs: Any) -> str:
    """What may be wrong with inputs that a model failed on; empty where nothing is seen.

    Example:
        >>> hint(torch.zeros(2, 32, 32, 3))
        '; the channels seem to be last, and PyTorch has them first: give x.permute(0, 3, 1, 2)'
    """
    if isinstance(inputs, Tensor):
        last = inputs.ndim == 4 and inputs.shape[-1] in (1, 3, 4) and inputs.shape[1] not in (1, 3, 4)
        said = "; the channels seem to be last, and PyTorch has them first: give x.permute(0, 3, 1, 2)"
        return said if last else ""
    values = inputs.values() if isinstance(inputs, Mapping) else inputs if isinstance(inputs, list | tuple) else []
    return next((found for value in values if (found := hint(value))), "")


def describe_inputs(inputs: Any) -> str:
    """Shapes and types of inputs, for messages.

    Example:
        >>> describe_inputs({"input_ids": torch.zeros(2, 5, dtype=torch.int64)})
        '{input_ids: int64 (2, 5)}'
    """
    if isinstance(inputs, Tensor):
        return f"{str(inputs.dtype).removeprefix('torch.')} {tuple(inputs.shape)}"
    if isinstance(inputs, Mapping):
        return "{" + ", ".join(f"{key}: {describe_inputs(value)}" for key, value in inputs.items()) + "}"
    if isinstance(inputs, list | tuple):
        return "(" + ", ".join(describe_inputs(value) for value in inputs) + ")"
    return type(inputs).__name__
