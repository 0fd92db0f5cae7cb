"""What modules return: a tensor, or something that holds one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor


def first_tensor(output: Any, n: int | None = None) -> Tensor | None:
    """The activation in what a module returned: its first floating tensor, looking into tuples, lists and mappings.

    Args:
        output: a tensor, tuple, list, mapping, data class or `ModelOutput`. A quantized tensor is dequantized.
        n: where given, the number of examples: tensors whose first two axes cannot hold them are passed over.

    Example:
        >>> import torch
        >>> first_tensor((None, {"hidden": torch.ones(2, 3)})).shape
        torch.Size([2, 3])
    """
    if isinstance(output, Tensor):
        x = output.dequantize() if output.is_quantized else output
        fits = x.is_floating_point() and x.ndim >= 1
        if fits and n is not None:
            fits = x.shape[0] % n == 0 or (x.ndim > 1 and x.shape[1] == n)
        return x if fits else None
    values: Sequence[Any] = ()
    if isinstance(output, Mapping):
        values = list(output.values())
    elif isinstance(output, list | tuple):
        values = output
    elif hasattr(output, "last_hidden_state"):
        values = [output.last_hidden_state]
    elif dataclasses.is_dataclass(output):
        values = [getattr(output, part.name) for part in dataclasses.fields(output)]
    for value in values:
        found = first_tensor(value, n)
        if found is not None:
            return found
    return None


__all__ = ["first_tensor"]
