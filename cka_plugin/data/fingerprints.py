"""Fingerprints of content: the same examples are known again in another container, another run, another year."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cka_plugin.data.content import Content, Member
from cka_plugin.data.numbers import Fingerprints

_SMALL_INTS = (torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint32)


def fingerprint(*parts: bytes) -> int:
    """A 64-bit content fingerprint (BLAKE2b)."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return int.from_bytes(digest.digest(), "little")


def fingerprint_raw(example: Any) -> int:
    """The fingerprint of a raw example: an image, a text, an array, a tensor, or a tuple of them."""
    return fingerprint(*_bytes(example))


def fingerprints_of(content: Content) -> Fingerprints:
    """(n,) fingerprints of what the examples hold: equal numbers give equal ones, whatever their dtype.

    Names are part of the container and not of the example, unless several tensors are told apart by them.
    """
    members = list(content.members)
    named = content.named and len(members) > 1 and all(isinstance(member.values, Tensor) for member in members)
    if named:
        members.sort(key=lambda member: str(member.key))
    columns = [_columns(member) for member in members]
    keys = [str(member.key).encode("utf-8") if named else b"" for member in members]
    found = [
        fingerprint(*(part for key, row in zip(keys, row_of, strict=True) for part in (key, *row)))
        for row_of in zip(*columns, strict=True)
    ]
    return np.array(found, dtype=np.uint64)


def _columns(member: Member) -> list[list[bytes]]:
    values = member.values
    if isinstance(values, Tensor):
        return [list(_numbers(row)) for row in values.detach().cpu()]
    return [list(_bytes(value)) for value in values]


def _numbers(row: Tensor) -> Iterator[bytes]:
    """The bytes of an example's numbers, in the dtype that all containers have in common where it holds them."""
    if row.is_sparse or row.is_quantized:
        row = row.to_dense() if row.is_sparse else row.dequantize()
    if row.dtype in (torch.float16, torch.bfloat16, torch.uint8, torch.bool):
        row = row.float()
    elif row.dtype is torch.float64:
        single = row.float()
        row = single if torch.equal(single.double(), row) or bool(row.isnan().any()) else row
    elif row.dtype in _SMALL_INTS:
        row = row.to(torch.int64)
    yield row.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _bytes(value: Any) -> Iterator[bytes]:
    if isinstance(value, str):
        yield value.encode("utf-8", errors="surrogatepass")
    elif isinstance(value, bytes):
        yield value
    elif isinstance(value, Tensor):
        yield from _numbers(value.detach().cpu())
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield str(key).encode("utf-8")
            yield from _bytes(value[key])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _bytes(part)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        yield from _numbers(torch.from_numpy(np.ascontiguousarray(value)))
    elif hasattr(value, "tobytes"):  # images
        yield repr((getattr(value, "mode", ""), getattr(value, "size", ""))).encode()
        yield value.tobytes()
    else:
        yield repr(value).encode("utf-8")
