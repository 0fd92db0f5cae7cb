"""Which model this is, by its weights: the same in every process and at every place in a list of models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


def weights_hash(module: nn.Module) -> str:
    """A hash of every parameter and buffer, by name; of those that lie elsewhere meanwhile (accelerate), from there.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> before = weights_hash(layer)
        >>> _ = layer.weight.data.add_(1.0)
        >>> weights_hash(layer) == before
        False
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if nn.parameter.is_lazy(tensor):
            digest.update(f"{name} lazy".encode())
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        for part in _plain_tensors(_present(module, name, tensor.detach())):
            value = part.cpu().contiguous().flatten()
            digest.update(value.view(torch.uint8).numpy().data if value.numel() else b"")
    return digest.hexdigest()


def _present(module: nn.Module, name: str, tensor: Tensor) -> Tensor:
    """A tensor with its values, which accelerate's offloading keeps apart between forward passes."""
    if tensor.device.type != "meta":
        return tensor
    path, _, own = name.rpartition(".")
    hook = getattr(module.get_submodule(path) if path else module, "_hf_hook", None)
    for one in getattr(hook, "hooks", [hook]):
        weights = getattr(one, "weights_map", None)
        if weights is not None:
            return weights[own]
    raise ValueError(f"{name} is on the meta device, without values: load its weights first")


def _plain_tensors(tensor: Tensor) -> Iterator[Tensor]:
    """What a tensor is made of: itself, or the parts of a quantised or sharded one."""
    if tensor.layout != torch.strided:
        yield tensor.to_dense()
    elif hasattr(tensor, "__tensor_flatten__"):
        for name in tensor.__tensor_flatten__()[0]:
            yield from _plain_tensors(getattr(tensor, name))
    else:
        yield tensor
