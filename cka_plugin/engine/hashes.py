"""Hashes of what must be the same: a model's weights, plain data, arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def weights_hash(module: torch.nn.Module) -> str:
    """A hash of every parameter and buffer, by name.

    Example:
        >>> layer = torch.nn.Linear(2, 2)
        >>> before = weights_hash(layer)
        >>> _ = layer.weight.data.add_(1.0)
        >>> weights_hash(layer) == before
        False
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        for part in _plain_tensors(tensor.detach()):
            value = part.cpu().contiguous().flatten()
            digest.update(value.view(torch.uint8).numpy().data if value.numel() else b"")
    return digest.hexdigest()


def _plain_tensors(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """What a tensor is made of: itself, or the parts of a quantised or sharded one."""
    if tensor.layout != torch.strided:
        yield tensor.to_dense()
    elif hasattr(tensor, "__tensor_flatten__"):
        for name in tensor.__tensor_flatten__()[0]:
            yield from _plain_tensors(getattr(tensor, name))
    else:
        yield tensor


def hash_of(*parts: Any) -> str:
    """A hash of plain data and arrays, in order."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else json.dumps(part, default=str).encode())
        digest.update(b"\0")
    return digest.hexdigest()
