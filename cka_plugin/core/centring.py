"""U-centring of Gram matrices, and the way back to HKH.

Sources: Székely & Rizzo 2014 for U-centring; Song et al. 2012 and Nguyen, Raghu & Kornblith 2021 (eq. 3) for HSIC_1,
which is the inner product of two U-centred matrices.
"""

from __future__ import annotations

import torch
from torch import Tensor

MIN_EXAMPLES = 4  # HSIC_1 divides by n(n-3)


def u_center(k: Tensor) -> tuple[Tensor, Tensor]:
    """U-centre Gram matrices, and keep the diagonal that HKH had.

    A_ij = K_ij - r_i/(n-2) - r_j/(n-2) + s/((n-1)(n-2)) for i ≠ j and A_ii = 0, with r the row sums and s the total
    of K with a zero diagonal [Székely & Rizzo 2014]; n(n-3) HSIC_1(K, L) = Σ_{i≠j} A_ij B_ij.

    Args:
        k: (..., n, n) symmetric, n >= 4.

    Returns:
        A, (..., n, n) with a zero diagonal, and the diagonal of H K H, (..., n).

    Raises:
        ValueError: fewer than 4 examples.

    Example:
        >>> a, d = u_center(torch.eye(4, dtype=torch.float64))
        >>> a.abs().max().item(), d[0].item()
        (0.0, 0.75)
    """
    n = k.shape[-1]
    if n < MIN_EXAMPLES:
        raise ValueError(f"U-centring needs at least {MIN_EXAMPLES} examples; given {n}")
    diagonal = k.diagonal(dim1=-2, dim2=-1).double()
    full_rows = k.sum(-1, dtype=torch.float64)
    full_total = full_rows.sum(-1, keepdim=True)
    centred_diagonal = diagonal - 2 * full_rows / n + full_total / n**2
    rows = full_rows - diagonal
    total = rows.sum(-1, keepdim=True)
    offset = (rows - total / (2 * (n - 1))) / (n - 2)  # half of the constant goes to either side
    a = k - offset.to(k.dtype).unsqueeze(-1)
    a -= offset.to(k.dtype).unsqueeze(-2)
    a.diagonal(dim1=-2, dim2=-1).zero_()
    return a, centred_diagonal.to(k.dtype)


def recover_centered(a: Tensor, diagonal: Tensor) -> Tensor:
    """K' = H K H from what `u_center` gave, exactly, for any kernel.

    K'_ij = A_ij - (d_i + d_j)/(n-2) + T/((n-1)(n-2)) for i ≠ j, K'_ii = d_i, with T = Σ d_i.

    Args:
        a: (..., n, n) U-centred.
        diagonal: (..., n), the diagonal of HKH.

    Example:
        >>> x = torch.randn(6, 3, dtype=torch.float64); x = x - x.mean(0)
        >>> torch.allclose(recover_centered(*u_center(x @ x.T)), x @ x.T)
        True
    """
    n = a.shape[-1]
    offset = diagonal / (n - 2) - diagonal.sum(-1, keepdim=True) / (2 * (n - 1) * (n - 2))
    k = a - offset.unsqueeze(-1) - offset.unsqueeze(-2)
    k.diagonal(dim1=-2, dim2=-1).copy_(diagonal)
    return k
