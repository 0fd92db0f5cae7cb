"""A few values of each large tensor, by which a write shows that no watch has seen.

What a model writes is watched in its first pass; a write through `.data` that comes later leaves no trace in version
counters, and a copy of every weight would double a model's memory.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

SAMPLED = 64  # values of a tensor, evenly spaced: an update of a whole tensor changes some of them


class Samples:
    """Values of `tensors` at a few places, as they are now.

    Args:
        tensors: by path; those without strides or values (sharded, on the meta device) are passed over.

    Example:
        >>> weight = torch.ones(100, 100)
        >>> samples = Samples([("weight", weight)])
        >>> samples.changed()
        []
        >>> _ = weight.data.mul_(0.9)
        >>> samples.changed()
        ['weight']
    """

    def __init__(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        self._taken = [(path, tensor, _sample(tensor)) for path, tensor in tensors if _can_be_sampled(tensor)]

    def changed(self) -> list[str]:
        """Paths of the tensors of which a sampled value is another one now."""
        return [path for path, tensor, before in self._taken if not torch.equal(_sample(tensor), before)]


def _can_be_sampled(tensor: Tensor) -> bool:
    plain = tensor.layout == torch.strided and not hasattr(tensor, "__tensor_flatten__") and not tensor.is_quantized
    return plain and tensor.device.type != "meta" and tensor.numel() > 0


@torch.no_grad()
def _sample(tensor: Tensor) -> Tensor:
    """The bits of `SAMPLED` values, so that NaN equals itself."""
    step = max(tensor.numel() // SAMPLED, 1)
    if tensor.is_contiguous():
        return tensor.detach().view(-1)[::step].contiguous().view(torch.uint8)
    places = torch.arange(0, tensor.numel(), step, device=tensor.device)
    values = tensor.detach()[torch.unravel_index(places, tensor.shape)] if tensor.ndim else tensor.detach()
    return values.contiguous().reshape(-1).view(torch.uint8)
