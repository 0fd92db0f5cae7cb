"""What a module returned, tensor by tensor, each as plain numbers that a Gram matrix can be made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence


@dataclass(frozen=True)
class Found:
    """One tensor of an output.

    Attributes:
        x: dense, real and floating.
        lengths: (n,) of sequences that were packed or nested, whose examples are on axis 0 by their type; `x` is
            (n, length, ...) then, with zeros after the end of each.
        complex: whether `x` has a last axis of real and imaginary part.
        returned: the tensor as it was returned; None where that was no tensor.
    """

    x: Tensor
    lengths: Tensor | None = None
    complex: bool = False
    returned: Tensor | None = None


def tensors(output: Any) -> Iterator[Found]:
    """The floating tensors in an output, in order, looking into tuples, lists, mappings and data classes.

    Complex tensors come as their real and imaginary parts: the inner product of two such rows is the real part of the
    complex one, so that a linear Gram matrix is Re(X Xᴴ). Sparse ones come dense, quantised ones dequantised, packed
    and nested sequences padded with zeros, which add nothing to a Gram matrix.

    Example:
        >>> [tuple(found.x.shape) for found in tensors((None, {"hidden": torch.ones(2, 3), "z": torch.ones(2) + 1j}))]
        [(2, 3), (2, 2)]
    """
    if isinstance(output, Tensor):
        found = _readable(output)
        if found is not None:
            yield found
    elif isinstance(output, PackedSequence):
        padded, lengths = pad_packed_sequence(output, batch_first=True)
        found = _readable(padded)
        if found is not None:
            yield Found(found.x, lengths, found.complex)
    else:
        for part in _parts(output):
            yield from tensors(part)


def _parts(output: Any) -> Iterator[Any]:
    if isinstance(output, Mapping):
        yield from output.values()
    elif isinstance(output, list | tuple):
        yield from output
    elif hasattr(output, "last_hidden_state"):
        yield output.last_hidden_state
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        yield from (getattr(output, field.name) for field in dataclasses.fields(output))


def _readable(returned: Tensor) -> Found | None:
    x = returned.detach()
    if x.device.type == "mps":  # which has no float64
        x = x.cpu()
    if x.is_quantized:
        x = x.dequantize()
    if not (x.is_floating_point() or x.is_complex()):
        return None
    lengths = None
    if x.is_nested:
        lengths = torch.tensor([len(row) for row in x.unbind()])
        x = torch.nested.to_padded_tensor(x, 0.0)
    elif x.layout != torch.strided:
        x = x.to_dense()
    if x.ndim == 0:
        return None
    if x.is_complex():
        return Found(torch.view_as_real(x.resolve_conj()), lengths, True, returned)
    return Found(x, lengths, False, returned)
