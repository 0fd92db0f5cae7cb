"""CKA with the first principal components removed: what a dominant component hides.

After u1 is removed from a Gram matrix, plain U-centring is no longer unbiased: the product of two matrices keeps what
is left of their diagonals, and layers that share nothing but the removed component keep a CKA of about p/(p + n²), p
their effective dimension (0.51 at p = 4096, n = 64). U-centring is the residual of least squares, off the diagonal, on
the matrices {a_i + a_j}; here u1 is projected out in the same way: the residual on {a_i + a_j, u_i b_j + u_j b_i}.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from cka_plugin.analysis.components.principal import Components, leading_eigenpairs
from cka_plugin.analysis.grams import GramVectors, alive_rows, check_minibatches, double, layer_chunks, sums_of
from cka_plugin.core import Floats, Sums, pack, recover_centered, unpack

ROUNDING = 2.0**-20  # of ‖K'‖: what float32 Gram matrices leave of a layer that is its first component and nothing else
_NULL = 1e-12  # relative size below which a direction of the small system is no direction


def cka_without_first_component(
    a: GramVectors, b: GramVectors | None = None, count: int = 1, *, known: Components | None = None
) -> Sums:
    """CKA of every pair of layers after each has lost its own first principal component(s).

    Args:
        a: a representation, or anything else with its `vectors`, `diagonals`, `positions` and `passes`.
        b: a second model's on the same minibatches; without it, `a` with itself.
        count: how many components each layer loses.
        known: the first components of `a`, where they have been found already: for `count` 1 and without `b`.

    Returns:
        The sums of inner products: `.cka()` is (layers of a, layers of b), NaN where nothing remains of a layer, and
        `.interval()` its uncertainty.

    Raises:
        ValueError: unlike minibatches, or fewer than one component.

    Example:
        >>> from cka_plugin.analysis.grams import pack_layers
        >>> rng = np.random.default_rng(0)
        >>> shared = 20 * np.outer(rng.normal(size=64), rng.normal(size=10))  # all that the layers have in common
        >>> made = pack_layers([shared + rng.normal(size=(64, 10)) for _ in range(2)], [np.arange(64)])
        >>> bool(abs(cka_without_first_component(made).cka()[0, 1]) < 0.05)
        True
    """
    check_minibatches(a, b)
    if known is not None and (count != 1 or b is not None):
        raise ValueError("known components are those of one model, and of each layer the first")

    def rests() -> Iterator[tuple[Floats, Floats]]:
        for index, (vectors, diagonals) in enumerate(zip(a.vectors, a.diagonals, strict=True)):
            leading = None if known is None else known.vectors[index]
            rest = without_first_component(vectors, diagonals, count, leading)
            yield rest, rest if b is None else without_first_component(b.vectors[index], b.diagonals[index], count)

    return sums_of(rests(), a.passes)


def without_first_component(
    vectors: np.ndarray, diagonals: np.ndarray, count: int = 1, leading: np.ndarray | None = None
) -> Floats:
    """Packed matrices of one minibatch with the first principal component of each layer projected out.

    The result R of a layer is symmetric, zero on the diagonal, and R 1 = R u = 0 for each removed u; of all such
    matrices it is the nearest to the layer's own off the diagonal. Its inner products with others' have no bias.

    Args:
        vectors: (layers, n(n-1)/2) packed U-centred Gram matrices.
        diagonals: (layers, n) of HKH.
        count: how many components to remove from each layer, its own.
        leading: (layers, n) first eigenvectors of HKH, where they are known.

    Returns:
        (layers, n(n-1)/2) float64. Zero where only rounding remains, NaN where the layer is not finite.

    Raises:
        ValueError: fewer than one component.

    Example:
        >>> from cka_plugin.analysis.grams import pack_layers
        >>> made = pack_layers([np.arange(9.0)], [np.arange(9)])  # one component is all there is
        >>> float(abs(without_first_component(made.vectors[0], made.diagonals[0])).max())
        0.0
    """
    if count < 1:
        raise ValueError(f"count {count}: at least one component is removed")
    n = diagonals.shape[1]
    rest = np.full(vectors.shape, np.nan)
    rows = alive_rows(vectors, diagonals)
    if leading is not None:
        rows = rows[np.isfinite(leading[rows]).all(axis=1)]
    for chunk in layer_chunks(rows.size, n):
        part = rows[chunk]
        a = unpack(double(vectors[part]))
        k = recover_centered(a, double(diagonals[part]))
        u = leading_eigenpairs(k, min(count, n))[1] if leading is None else double(leading[part]).unsqueeze(-1)
        residual = pack(project_out(a, u))
        k.diagonal(dim1=-2, dim2=-1).zero_()
        nothing = residual.norm(dim=-1) <= ROUNDING * k.flatten(-2).norm(dim=-1)
        residual[nothing] = 0.0
        rest[part] = residual.numpy()
    return rest


def project_out(a: Tensor, u: Tensor) -> Tensor:
    """Residual of least squares, off the diagonal, of symmetric matrices on {a_i + a_j, u_i b_j + u_j b_i}.

    With W an orthonormal basis of 1 and u, and P = 1 - WWᵀ, the residual R has R W = 0 and a zero diagonal, so it is
    P (A + diag x) P with x solving (P∘P) x = -diag(P A P). As P_ij = -w_i·w_j for i ≠ j, P∘P = diag(1 - 2h) + ZZᵀ with
    h_i = |w_i|² and Z_i the products of two entries of w_i: a system of a few unknowns, not of n.

    Args:
        a: (..., n, n) float64, symmetric; its diagonal is not looked at.
        u: (..., n, k) directions to remove beside the constant one.

    Returns:
        (..., n, n), zero on the diagonal.

    Example:
        >>> u = torch.randn(8, 1, dtype=torch.float64)
        >>> bool(project_out(u @ u.T + u + u.T, u).abs().max() < 1e-12)
        True
    """
    a = a.clone()
    a.diagonal(dim1=-2, dim2=-1).zero_()
    w = torch.linalg.qr(torch.cat([torch.ones_like(u[..., :1]), u], dim=-1)).Q  # (..., n, m)
    aw = a @ w
    waw = w.mT @ aw
    right = (2 * w * aw - w * (w @ waw)).sum(-1)  # -diag(P A P)
    x = _solve_hadamard(w, right)
    # P (A + diag x) P, by updates of rank m
    bw = aw + x.unsqueeze(-1) * w
    half = bw - w @ (w.mT @ bw) / 2
    left, other = torch.cat([half, w], -1), torch.cat([w, half], -1)
    residual = a - left @ other.mT
    residual.diagonal(dim1=-2, dim2=-1).zero_()
    return residual


def _solve_hadamard(w: Tensor, right: Tensor) -> Tensor:
    """x with (P∘P) x = right, P = 1 - WWᵀ, by elimination of all but the examples that dominate W.

    w: (..., n, m) orthonormal columns; right: (..., n). With y = Zᵀx the equations are diag(1 - 2h) x + Z y = right.
    Where h_i is near 1/2 (an example carries half of u) x_i cannot be eliminated; at most 4m examples have h_i > 1/4.
    """
    n, m = w.shape[-2:]
    h = w.square().sum(-1)
    order = h.argsort(-1, descending=True)
    kept, rest = order[..., : min(4 * m, n)], order[..., min(4 * m, n) :]
    first, second = torch.triu_indices(m, m, device=w.device)
    factor = torch.where(first == second, 1.0, 2.0).to(w.dtype).sqrt()
    z = w[..., first] * w[..., second] * factor

    def rows(t: Tensor, which: Tensor) -> Tensor:
        return torch.take_along_dim(t, which.unsqueeze(-1), -2)

    z_kept, z_rest = rows(z, kept), rows(z, rest)
    right_kept, right_rest = right.gather(-1, kept), right.gather(-1, rest)
    inverse = 1 / (1 - 2 * h.gather(-1, rest))
    weighted = z_rest * inverse.unsqueeze(-1)
    corner = -(torch.eye(z.shape[-1], dtype=w.dtype, device=w.device) + weighted.mT @ z_rest)
    system = torch.cat(
        [
            torch.cat([torch.diag_embed(1 - 2 * h.gather(-1, kept)), z_kept], -1),
            torch.cat([z_kept.mT, corner], -1),
        ],
        dim=-2,
    )
    constants = torch.cat([right_kept.unsqueeze(-1), -weighted.mT @ right_rest.unsqueeze(-1)], dim=-2)
    # Singular, though consistent, where two examples alone carry u: then x is not unique and the residual is.
    solution = (torch.linalg.pinv(system, rtol=_NULL, hermitian=True) @ constants).squeeze(-1)
    x_kept, y = solution[..., : kept.shape[-1]], solution[..., kept.shape[-1] :]
    x_rest = inverse * (right_rest - (z_rest @ y.unsqueeze(-1)).squeeze(-1))
    return torch.zeros_like(right).scatter(-1, kept, x_kept).scatter(-1, rest, x_rest)
