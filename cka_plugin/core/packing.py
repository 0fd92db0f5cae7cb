"""From Gram matrices to packed vectors, which CKA is the cosine of: of one layer, or of all layers of a minibatch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from cka_plugin.core.centring import u_center
from cka_plugin.core.kernels import levelled

_GROUP_BYTES = 4 << 20  # matrices waiting on a CPU: few enough for its cache, and enough for few operations a matrix


def pack(a: Tensor) -> Tensor:
    """Symmetric (..., n, n) with a zero diagonal to its upper triangle, row by row: (..., n(n-1)/2)."""
    n = a.shape[-1]
    return a.flatten(-2).index_select(-1, _triangle(n, a.device))


def unpack(vector: Tensor) -> Tensor:
    """The inverse of `pack`.

    Example:
        >>> unpack(torch.tensor([1.0, 2.0, 3.0])).tolist()
        [[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]
    """
    n = examples_of(vector.shape[-1])
    flat = vector.new_zeros(*vector.shape[:-1], n * n)
    flat.index_copy_(-1, _triangle(n, vector.device), vector)
    a = flat.unflatten(-1, (n, n))
    return a + a.transpose(-1, -2)


def pairs_of(n: int) -> int:
    """Pairs of n examples: n(n-1)/2, the length of a packed vector."""
    return n * (n - 1) // 2


def examples_of(pairs: int) -> int:
    """How many examples a packed vector of `pairs` entries is of.

    Example:
        >>> examples_of(pairs_of(64))
        64
    """
    n = (1 + math.isqrt(1 + 8 * pairs)) // 2
    if pairs_of(n) != pairs:
        raise ValueError(f"{pairs} is not n(n-1)/2 for any number of examples n")
    return n


class GramPacker:
    """U-centres and packs Gram matrices many at a time: of one it takes as many operations as of a hundred.

    On a CPU groups of some megabytes; on other devices all of a minibatch, so that nothing waits in between.

    Args:
        device: where it works; matrices that lie elsewhere (of a model spread over devices) are brought there.

    Example:
        >>> packer = GramPacker(torch.device("cpu"))
        >>> for _ in range(3):
        ...     packer.add(torch.eye(4), torch.tensor(0))
        >>> [tuple(part.shape) for part in packer.finish()]
        [(3, 6), (3, 4), (3,)]
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._packed: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, k: Tensor, exponent: Tensor) -> None:
        """Take an (n, n) Gram matrix that is `k * 2**exponent`; it is ours from now on."""
        self._waiting.append((k.to(self._device), exponent.to(self._device)))
        if self._device.type == "cpu" and len(self._waiting) * k.nbytes >= _GROUP_BYTES:
            self._pack()

    def finish(self, order: Sequence[int] | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """What was added, and forget it.

        Args:
            order: which of the matrices, by the order of coming, is first, second, ...; as they came by default.

        Returns:
            Packed vectors (layers, n(n-1)/2), the diagonals of HKH (layers, n), and exponents (layers,).
        """
        if self._waiting:
            self._pack()
        parts, self._packed = self._packed, []
        vectors, diagonals, exponents = (_joined(list(same)) for same in zip(*parts, strict=True))
        if order is None or list(order) == list(range(len(vectors))):
            return vectors, diagonals, exponents
        rows = torch.tensor(order, device=vectors.device)
        return vectors[rows], diagonals[rows], exponents[rows]

    def _pack(self) -> None:
        waiting, self._waiting = self._waiting, []
        k, exponents = levelled(_stacked([k for k, _ in waiting]), _stacked([e for _, e in waiting]))
        a, diagonals = u_center(k)
        self._packed.append((pack(a), diagonals, exponents))


def _stacked(tensors: list[Tensor]) -> Tensor:
    if len({t.dtype for t in tensors}) > 1:
        tensors = [t.double() for t in tensors]
    return torch.stack(tensors)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


@lru_cache(maxsize=16)
def _triangle(n: int, device: torch.device) -> Tensor:
    rows, columns = torch.triu_indices(n, n, offset=1, device=device)
    return rows * n + columns
