"""The centred Gram matrices of a model's layers on one minibatch, and what measures take from them, once a layer."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

_TIES = 0.75  # the power of the precision: distances nearer to one another than this, of the largest, are equal
_NOISE = 4.0  # times the precision: eigenvalues below this, of ‖K'‖/√n, are rounding


class GramMatrices:
    """K' = HKH of every layer on one minibatch, all finite.

    Args:
        k: (layers, n, n) float64.
        precision: relative rounding of what `k` was made of: that of float32 for stored vectors.
        roots: (layers, n, r) with `roots @ roots.mT` = K', where they are known from activations.
    """

    def __init__(self, k: Tensor, precision: float, roots: Tensor | None = None) -> None:
        self.k = k
        self.precision = precision
        self._given = roots

    @property
    def n(self) -> int:
        """Number of examples."""
        return self.k.shape[-1]

    @cached_property
    def distances(self) -> Tensor:
        """(layers, n, n) squared distances of examples, D_ij = K'_ii + K'_jj - 2 K'_ij, in the layer's own scale."""
        if self._given is not None:
            return torch.cdist(self._given, self._given, compute_mode="donot_use_mm_for_euclid_dist").square()
        own = self.k.diagonal(dim1=-2, dim2=-1)
        d = (own.unsqueeze(-1) + own.unsqueeze(-2) - 2 * self.k).clamp_min(0)
        d.diagonal(dim1=-2, dim2=-1).zero_()
        return d

    @cached_property
    def ranked_distances(self) -> Tensor:
        """The same for what ranks them: rounded, so that rounding does not tell equal distances apart."""
        step = self.distances.amax((-2, -1), keepdim=True) * self.precision**_TIES
        return torch.where(step > 0, torch.round(self.distances / step) * step, self.distances)

    @cached_property
    def roots(self) -> Tensor:
        """(layers, n, n) U √λ of K' = U λ Uᵀ, without the directions that rounding alone has made."""
        if self._given is not None:
            return self._given
        values, vectors = torch.linalg.eigh(self.k)
        size = torch.linalg.matrix_norm(self.k) / self.n**0.5
        values = torch.where(values > _NOISE * self.precision * size.unsqueeze(-1), values, 0.0)
        return vectors * values.sqrt().unsqueeze(-2)

    def permuted(self, order: Tensor) -> GramMatrices:
        """The same with the examples in another order, without decomposing anything anew.

        order: (n,) positions.
        """
        return _Permuted(self, order)


class _Permuted(GramMatrices):
    def __init__(self, of: GramMatrices, order: Tensor) -> None:
        super().__init__(of.k[:, order][:, :, order], of.precision)
        self._of, self._order = of, order

    @cached_property
    def distances(self) -> Tensor:
        return self._of.distances[:, self._order][:, :, self._order]

    @cached_property
    def ranked_distances(self) -> Tensor:
        return self._of.ranked_distances[:, self._order][:, :, self._order]

    @cached_property
    def roots(self) -> Tensor:
        return self._of.roots[:, self._order]
