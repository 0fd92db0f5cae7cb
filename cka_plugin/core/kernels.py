"""Gram matrices of one minibatch, centring, U-centring, and the packed vectors that CKA is the cosine of.

Everything here knows tensors only. Sources: Song et al. 2012 and Nguyen, Raghu & Kornblith 2021 (eq. 2, 3) for HSIC_1;
Székely & Rizzo 2014 for U-centring; Kornblith et al. 2019 for the RBF bandwidth.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from cka_plugin.core.products import centred_products, largest_deviation, working_dtype

KERNELS = ("linear", "rbf")
MIN_EXAMPLES = 4  # HSIC_1 divides by n(n-3)

_NEARLY_CONSTANT = 2.0**-36  # spread against level, squared: below it, a feature may be constant but for rounding
_SAFE_SQUARE = (2.0**-70, 2.0**90)  # mean squares between these neither underflow nor overflow in float32 products


def as_rows(x: Tensor) -> Tensor:
    """x: (n, ...) to (n, d), one row an example, without a copy where the memory format allows it.

    The order of the features follows the memory format; CKA does not depend on it.

    Example:
        >>> as_rows(torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last)).shape
        torch.Size([2, 48])
    """
    if x.ndim == 1:
        return x.unsqueeze(1)
    if x.ndim == 2:
        return x
    if not x.is_contiguous() and x.ndim >= 3:
        by_stride = sorted(range(1, x.ndim), key=x.stride, reverse=True)
        x = x.permute(0, *by_stride)
    return x.reshape(x.shape[0], -1)


def gram(x: Tensor, kernel: str = "linear", bandwidth: float = 0.5) -> tuple[Tensor, Tensor]:
    """Gram matrix of centred features, brought near unit scale by a power of two.

    Args:
        x: (n, d) activations, floating; half precision is multiplied in float32, float64 in float64.
        kernel: `linear`, X Xᵀ with the features centred first, or `rbf`, exp(-‖x_i - x_j‖² / (2σ²)).
        bandwidth: for `rbf`, σ as a multiple of the minibatch's median distance (1905.00414, section 4).

    Returns:
        The (n, n) Gram matrix and its exponent e, an integer tensor without axes, both on the device of `x`: the
        kernel of the activations as they are is `gram * 2**e`. Nothing waits for the device. Where an activation is not
        finite, neither is the matrix.

    Raises:
        ValueError: an unknown kernel.

    Example:
        >>> k, e = gram(torch.tensor([[1.0], [2.0], [3.0], [6.0]]))
        >>> (k * 2.0 ** e)[3, 3].item()
        9.0
    """
    if kernel not in KERNELS:
        raise ValueError(f"kernel {kernel!r}: expected one of {', '.join(KERNELS)}")
    k, exponent = similarities(x, kernel, bandwidth)
    return levelled(k, exponent)


def similarities(x: Tensor, kernel: str = "linear", bandwidth: float = 0.5) -> tuple[Tensor, Tensor]:
    """As `gram`, but as large as the activations make it: for `levelled`, which takes many matrices at once."""
    k = None
    exponent = torch.zeros((), dtype=torch.int32, device=x.device)
    if x.device.type == "cpu":  # elsewhere looking at a value would wait for the device
        k = centred_products(x)
        spread = float(k.trace()) / max(k.shape[0] * x.shape[1], 1)
        first = x[0].to(working_dtype(x))
        offset = float(torch.dot(first, first)) / max(x.shape[1], 1)
        if not (_SAFE_SQUARE[0] < spread < _SAFE_SQUARE[1] and spread > _NEARLY_CONSTANT * offset):
            k = None
    if k is None:
        size = largest_deviation(x)
        size = torch.where(torch.isfinite(size) & (size > 0), size, torch.ones_like(size))
        exponent = torch.frexp(size)[1].to(torch.int32)
        k = centred_products(x, torch.ldexp(torch.ones_like(size), -exponent))
        exponent = 2 * exponent
    if kernel == "rbf":
        return _rbf(k, bandwidth), torch.zeros_like(exponent)
    return k, exponent


def levelled(k: Tensor, exponents: Tensor) -> tuple[Tensor, Tensor]:
    """Gram matrices whose diagonals have a mean of about one, by powers of two, and the exponents that undo it.

    Args:
        k: (..., n, n); changed in place.
        exponents: (...,) integers, that `k` has been scaled by already.

    Example:
        >>> k, e = levelled(torch.tensor([[12.0, 1.0], [1.0, 4.0]]), torch.tensor(1))
        >>> k.tolist(), e.item()
        ([[0.75, 0.0625], [0.0625, 0.25]], 5)
    """
    level = k.diagonal(dim1=-2, dim2=-1).mean(-1, dtype=torch.float64)
    level = torch.where(torch.isfinite(level) & (level > 0), level, torch.ones_like(level))
    shift = torch.frexp(level)[1].to(torch.int32)
    factor = torch.ldexp(torch.ones_like(level), -shift).to(k.dtype)
    return k.mul_(factor[..., None, None]), exponents + shift


def _rbf(products: Tensor, bandwidth: float) -> Tensor:
    """exp(-‖x_i - x_j‖² / (2σ²)) from centred products, σ = bandwidth times the median distance.

    The median is taken over all n² squared distances, the zero diagonal included, as in the code of 1905.00414, and
    between the two middle values where n is even (`torch.median` would take the lower).
    """
    products = products.double()
    squares = products.diagonal()
    distances = squares[:, None] + squares[None, :] - 2 * products
    distances.fill_diagonal_(0.0)
    ordered = distances.flatten().sort().values
    middle = (ordered[(ordered.numel() - 1) // 2] + ordered[ordered.numel() // 2]) / 2
    return torch.exp(-distances / (2 * bandwidth**2 * middle))


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


@lru_cache(maxsize=16)
def _triangle(n: int, device: torch.device) -> Tensor:
    rows, columns = torch.triu_indices(n, n, offset=1, device=device)
    return rows * n + columns


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
