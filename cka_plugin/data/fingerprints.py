"""Fingerprints of content: the same examples are known again in another file, another run, another container."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cka_plugin.adapters.base import Inputs
from cka_plugin.data.batches import Fingerprints


def fingerprint(*parts: bytes) -> int:
    """A 64-bit content fingerprint (BLAKE2b)."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return int.from_bytes(digest.digest(), "little")


def fingerprint_raw(example: Any) -> int:
    """The fingerprint of a raw example: an image, a text, an array, a tensor, or a tuple of them."""
    return fingerprint(*_content(example))


def _content(example: Any) -> Iterator[bytes]:
    if isinstance(example, str):
        yield example.encode("utf-8")
    elif isinstance(example, bytes):
        yield example
    elif isinstance(example, Tensor):
        yield example.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(example, Mapping):
        for key in sorted(example):
            yield str(key).encode("utf-8")
            yield from _content(example[key])
    elif isinstance(example, list | tuple):
        for part in example:
            yield from _content(part)
    elif hasattr(example, "tobytes"):  # numpy arrays and PIL images
        yield repr((getattr(example, "mode", ""), getattr(example, "size", ""))).encode()
        yield example.tobytes()
    else:
        yield repr(example).encode("utf-8")


def fingerprints_of(inputs: Inputs, n: int) -> Fingerprints:
    """Fingerprints of each of n examples in ready inputs: the rows of every tensor among them."""
    return np.array([fingerprint_raw(row) for row in rows_of(inputs, n)], dtype=np.uint64)


def rows_of(inputs: Inputs, n: int) -> Iterable[Any]:
    """The examples in ready inputs, one after the other."""
    if isinstance(inputs, Tensor):
        return inputs
    if isinstance(inputs, Mapping):
        held = {key: value for key, value in inputs.items() if isinstance(value, Tensor) and _holds(value, n)}
        return ({key: value[i] for key, value in held.items()} for i in range(n))
    parts = [value for value in inputs if isinstance(value, Tensor) and _holds(value, n)]
    return (tuple(value[i] for value in parts) for i in range(n))


def _holds(value: Tensor, n: int) -> bool:
    return value.ndim > 0 and len(value) == n


def size_of(inputs: Inputs) -> int:
    """How many examples ready inputs hold.

    Raises:
        ValueError: there is no tensor among them.
    """
    values: Iterable[Any] = inputs.values() if isinstance(inputs, Mapping) else inputs
    if isinstance(inputs, Tensor):
        values = [inputs]
    for value in values:
        if isinstance(value, Tensor) and value.ndim > 0:
            return len(value)
    raise ValueError(
        f"a minibatch without tensors: {type(inputs).__name__}; expected a tensor, a tuple or a mapping of tensors"
    )
