"""From Gram matrices to packed vectors, which CKA is the cosine of: of one layer, or of all layers of a minibatch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from cka_plugin.core.centring import u_center
from cka_plugin.core.kernels import Doubt, doubtful, levelled

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
        self._doubts: dict[int, Doubt] = {}  # by place among those waiting
        self._packed: list[tuple[Tensor, ...]] = []

    def add(self, k: Tensor, exponent: Tensor, doubt: Doubt | None = None) -> None:
        """Take an (n, n) Gram matrix that is `k * 2**exponent`; it is ours from now on.

        Args:
            k: the matrix.
            exponent: an integer tensor without axes.
            doubt: where nobody has looked yet whether the matrix can be trusted.
        """
        if doubt is not None:
            self._doubts[len(self._waiting)] = doubt
        self._waiting.append((self._brought(k), self._brought(exponent)))
        if self._device.type == "cpu" and len(self._waiting) * k.nbytes >= _GROUP_BYTES:
            self._pack()

    def finish(self, order: Sequence[int] | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """What was added, and forget it.

        Args:
            order: which of the matrices, by the order of coming, is first, second, ...; as they came by default.

        Returns:
            Packed vectors (layers, n(n-1)/2), the diagonals of HKH (layers, n), and exponents (layers,).
        """
        vectors, diagonals, exponents, _ = self.finish_in_doubt(order)
        return vectors, diagonals, exponents

    def finish_in_doubt(self, order: Sequence[int] | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `finish`, and (layers,) bool: which of the matrices cannot be trusted, of those added with a doubt."""
        if self._waiting:
            self._pack()
        parts, self._packed = self._packed, []
        found = [_joined(list(same)) for same in zip(*parts, strict=True)]
        if order is not None and list(order) != list(range(len(found[0]))):
            rows = torch.tensor(order).to(self._device, non_blocking=self._device.type != "cpu")
            found = [part[rows] for part in found]
        vectors, diagonals, exponents, doubted = found
        return vectors, diagonals, exponents, doubted

    def _brought(self, tensor: Tensor) -> Tensor:
        # To main memory a copy that does not wait would be read before it is there.
        return tensor.to(self._device, non_blocking=self._device.type != "cpu")

    def _pack(self) -> None:
        waiting, self._waiting = self._waiting, []
        doubts, self._doubts = self._doubts, {}
        made = _stacked([k for k, _ in waiting])
        doubted = torch.zeros(len(waiting), dtype=torch.bool, device=self._device)
        if doubts:
            places = torch.tensor(list(doubts)).to(self._device, non_blocking=self._device.type != "cpu")
            doubted = doubted.index_copy(0, places, doubtful(made[places], list(doubts.values())))
        k, exponents = levelled(made, _stacked([e for _, e in waiting]))
        a, diagonals = u_center(k)
        self._packed.append((pack(a), diagonals, exponents, doubted))


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
