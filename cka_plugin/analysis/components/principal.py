"""Principal components of layers, from their centred Gram matrices, a minibatch at a time.

With K' = HKH = Σ λ_k u_k u_kᵀ, the eigenvectors are the principal components of the layer as seen by the examples: the
projections of the minibatch on the k-th component are sqrt(λ_k) u_k, its share of the variance is λ_k / tr K'. No
activations are needed. Source: Nguyen, Raghu & Kornblith 2021 (arXiv 2010.15327), section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cka_plugin.analysis.grams import GramVectors, alive_rows, check_minibatches, double, layer_chunks
from cka_plugin.core import Floats, recover_centered, unpack

_KRYLOV_FROM = 96  # examples; below, a full eigendecomposition is as fast
_KRYLOV_BLOCK, _KRYLOV_STEPS = 4, 16
_CONVERGED = 1e-9  # |K u - λ u| / λ


@dataclass(frozen=True)
class Components:
    """First principal components of the layers of one model, on the minibatches of its representation.

    Attributes:
        share: (layers,) Σ_b λ1 / Σ_b tr K'_b. It depends on the minibatch size n: a true share of 0.011 reads 0.085 at
            n = 16 and 0.030 at n = 64.
        participation_ratio: (layers,) (Σλ)² / Σλ² of the features' covariance, the effective number of components,
            without bias: its expectation does not depend on n (the naive ratio of a truth of 947 reads 15, 59 and 201
            at n = 16, 64 and 256).
        eigenvalues: (minibatches, layers), λ1 in the layer's own units.
        vectors: one (layers, n_b) array a minibatch, rows u1 of unit length; the entry largest in size is positive.

    A layer that is dead or not finite is NaN throughout.
    """

    share: Floats
    participation_ratio: Floats
    eigenvalues: Floats
    vectors: list[Floats]

    @property
    def batch_sizes(self) -> list[int]:
        """Examples in each minibatch."""
        return [vectors.shape[1] for vectors in self.vectors]

    def projections(self, minibatch: int) -> Floats:
        """(layers, n_b) projections of the examples of a minibatch on the first component: sqrt(λ1) u1."""
        return np.asarray(np.sqrt(self.eigenvalues[minibatch])[:, None] * self.vectors[minibatch])


def components(grams: GramVectors) -> Components:
    """First principal components of every layer.

    Args:
        grams: a representation, or anything else with its `vectors`, `diagonals`, `positions` and `passes`.

    Raises:
        ValueError: no minibatches, or parts that do not fit together.

    Source: arXiv 2010.15327, section 4; pooled over minibatches as ratios of sums.

    Example:
        >>> from cka_plugin.analysis.grams import pack_layers
        >>> x = np.array([[3.0, 0], [-3, 1], [0, 0], [0, -1]])
        >>> found = components(pack_layers([x], [np.arange(4)]))
        >>> found.share.round(3).tolist(), found.vectors[0].round(3).tolist()
        ([0.927], [[-0.685, 0.727, 0.0, -0.041]])
    """
    check_minibatches(grams)
    found = [_of_minibatch(v, d) for v, d in zip(grams.vectors, grams.diagonals, strict=True)]
    eigenvalues, leading, traces, dimensions = (list(part) for part in zip(*found, strict=True))
    alive = np.isfinite(traces).all(axis=0) & (np.sum(traces, axis=0) > 0)
    for part in [*eigenvalues, *leading, *traces, *dimensions]:
        part[~alive] = np.nan
    squared_trace, trace_of_square = np.sum(dimensions, axis=0).T
    return Components(
        share=np.sum(eigenvalues, axis=0) / np.sum(traces, axis=0),
        participation_ratio=squared_trace / trace_of_square,
        eigenvalues=np.array(eigenvalues),
        vectors=leading,
    )


def squared_cosines(a: Components, b: Components | None = None) -> Floats:
    """How alike the first components of any two layers are: (layers of a, layers of b) squared cosines in [0, 1].

    <u1, v1>² a minibatch, averaged with the weights sqrt(λ1 μ1). Unrelated components give about 1/(n - 1).

    Args:
        a: components of one model.
        b: of another on the same minibatches; without it, of `a` itself.

    Raises:
        ValueError: minibatches of different sizes.
    """
    b = a if b is None else b
    if a.batch_sizes != b.batch_sizes:
        raise ValueError(
            f"first components compare only on the same minibatches: given sizes {a.batch_sizes} and {b.batch_sizes}"
        )
    total = np.zeros((a.share.size, b.share.size))
    weight = np.zeros_like(total)
    for u, v, of_u, of_v in zip(a.vectors, b.vectors, a.eigenvalues, b.eigenvalues, strict=True):
        weights = np.sqrt(np.outer(of_u, of_v))
        total += weights * (u @ v.T) ** 2
        weight += weights
    with np.errstate(invalid="ignore"):
        return np.asarray(total / weight)


def leading_eigenpairs(k: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues of symmetric matrices, descending, and their eigenvectors.

    Args:
        k: (..., n, n) float64, symmetric and finite.
        count: how many.

    Returns:
        (..., count) eigenvalues and (..., n, count) eigenvectors.
    """
    n = k.shape[-1]
    if n < _KRYLOV_FROM or count >= _KRYLOV_BLOCK:
        values, vectors = torch.linalg.eigh(k)
        return values[..., -count:].flip(-1), vectors[..., -count:].flip(-1)
    flat = k.reshape(-1, n, n)
    values, vectors, converged = _krylov(flat, count)
    if not converged.all():  # neighbouring eigenvalues nearly equal: the long way
        exact_values, exact_vectors = torch.linalg.eigh(flat[~converged])
        values[~converged] = exact_values[:, -count:].flip(-1)
        vectors[~converged] = exact_vectors[..., -count:].flip(-1)
    return values.reshape(*k.shape[:-2], count), vectors.reshape(*k.shape[:-1], count)


def _krylov(k: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rayleigh-Ritz on the block Krylov space of a fixed start; the last of the three says which have converged."""
    n = k.shape[-1]
    start = torch.randn(n, _KRYLOV_BLOCK, dtype=k.dtype, generator=torch.Generator().manual_seed(0))
    block = k @ start
    basis = []
    for _ in range(_KRYLOV_STEPS):
        block = torch.linalg.qr(block).Q
        basis.append(block)
        block = k @ block
    space = torch.linalg.qr(torch.cat(basis, dim=-1)).Q
    image = k @ space
    values, coefficients = torch.linalg.eigh(space.mT @ image)
    values, coefficients = values[..., -count:].flip(-1), coefficients[..., -count:].flip(-1)
    vectors = space @ coefficients
    error = (image @ coefficients - vectors * values.unsqueeze(-2)).norm(dim=-2)
    return values, vectors, (error <= _CONVERGED * values).all(-1)


def _of_minibatch(vectors: np.ndarray, diagonals: np.ndarray) -> tuple[Floats, Floats, Floats, Floats]:
    """λ1 (layers,), u1 (layers, n), tr K' (layers,), and (layers, 2) for the dimension; NaN where not finite."""
    layers, n = diagonals.shape
    eigenvalue, trace = (np.full(layers, np.nan) for _ in range(2))
    leading, dimension = np.full((layers, n), np.nan), np.full((layers, 2), np.nan)
    rows = alive_rows(vectors, diagonals)
    for chunk in layer_chunks(rows.size, n):
        part = rows[chunk]
        diagonal = double(diagonals[part])
        a = unpack(double(vectors[part]))
        k = recover_centered(a, diagonal)
        values, u = leading_eigenpairs(k)
        u = u.squeeze(-1)
        u = u * torch.take_along_dim(u, u.abs().argmax(-1, keepdim=True), -1).sign()
        eigenvalue[part] = values.squeeze(-1).clamp_min(0).numpy()  # K' is positive semidefinite but for rounding
        leading[part] = u.numpy()
        trace[part] = diagonal.sum(-1).numpy()
        dimension[part, 0] = _squared_trace(k).numpy()
        dimension[part, 1] = a.square().sum((-2, -1)).numpy()
    return eigenvalue, leading, trace, dimension


def _squared_trace(k: Tensor) -> Tensor:
    """n(n-3) times the unbiased estimate of (tr Σ)², Σ the covariance of the features; n(n-3) HSIC_1 is that of tr Σ².

    (S² - 4 Σ r_i² + 2 Σ D_ij²) / ((n-1)(n-2)) with D_ij = |x_i - x_j|²/2, its row sums r_i and its total S: the sum
    over all i, j, k, l that differ of D_ij D_kl.

    k: (..., n, n) centred Gram matrices. Source: Chun et al. 2026.
    """
    n = k.shape[-1]
    diagonal = k.diagonal(dim1=-2, dim2=-1)
    half = (diagonal.unsqueeze(-1) + diagonal.unsqueeze(-2)) / 2 - k
    rows = half.sum(-1)
    apart = rows.sum(-1).square() - 4 * rows.square().sum(-1) + 2 * half.square().sum((-2, -1))
    return apart / ((n - 1) * (n - 2))
