"""From the Gram matrices of one minibatch, as they come, to the packed vectors of all its layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cka_plugin.core.kernels import levelled, pack, u_center

_GROUP_BYTES = 4 << 20  # matrices waiting on a CPU: few enough for its cache, and enough for few operations a matrix


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
