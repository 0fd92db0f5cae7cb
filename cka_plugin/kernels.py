"""Gram matrices of one minibatch, centring, U-centring, and the packed vectors that CKA is the cosine of.

Everything here knows tensors only. Sources: Song et al. 2012 and Nguyen, Raghu & Kornblith 2021 (eq. 2, 3) for HSIC_1;
Székely & Rizzo 2014 for U-centring; Kornblith et al. 2019 for the RBF bandwidth.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

KERNELS = ("linear", "rbf")
MIN_EXAMPLES = 4  # HSIC_1 divides by n(n-3)

_CHUNK_BYTES = 1 << 20  # a slice of the features that, centred, stays in cache
_BLOCKS_FROM = 128  # examples: from here the upper triangle alone is made, in rows of blocks, at least two of them
_BLOCK = 128  # their height at most; smaller ones save products and lose more to threads waiting for each other
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
        kernel of
        the activations as they are is `gram * 2**e`. Nothing waits for the device. Where an activation is not finite,
        neither is the matrix.

    Raises:
        ValueError: an unknown kernel.

    Example:
        >>> k, e = gram(torch.tensor([[1.0], [2.0], [3.0], [6.0]]))
        >>> (k * 2.0 ** e)[3, 3].item()
        9.0
    """
    if kernel not in KERNELS:
        raise ValueError(f"kernel {kernel!r}: expected one of {', '.join(KERNELS)}")
    products = None
    exponent = torch.zeros((), dtype=torch.int32, device=x.device)
    if x.device.type == "cpu":  # elsewhere looking at a value would wait for the device
        products = _centred_products(x)
        spread = float(products.diagonal().mean()) / max(x.shape[1], 1)
        offset = float(x[0].double().square().mean())
        if not (_SAFE_SQUARE[0] < spread < _SAFE_SQUARE[1] and spread > _NEARLY_CONSTANT * offset):
            products = None
    if products is None:
        size = _largest_deviation(x)
        size = torch.where(torch.isfinite(size) & (size > 0), size, torch.ones_like(size))
        exponent = torch.frexp(size)[1].to(torch.int32)
        products = _centred_products(x, torch.ldexp(torch.ones_like(size), -exponent))
        exponent = 2 * exponent
    if kernel == "rbf":
        return _rbf(products, bandwidth), torch.zeros_like(exponent)
    # Bring the mean of the diagonal to about one: exact, a power of two.
    level = products.diagonal().mean().to(torch.float64)
    level = torch.where(torch.isfinite(level) & (level > 0), level, torch.ones_like(level))
    shift = torch.frexp(level)[1].to(torch.int32)
    return products.mul_(torch.ldexp(torch.ones_like(level), -shift)), exponent + shift


def _working_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _chunks(x: Tensor) -> list[tuple[int, int]]:
    n, d = x.shape
    width = max(_CHUNK_BYTES // (max(n, 1) * (8 if x.dtype == torch.float64 else 4)), 256)
    return [(start, min(start + width, d)) for start in range(0, d, width)]


def _centred_products(x: Tensor, factor: Tensor | None = None) -> Tensor:
    """Σ over slices of the features of (X - mean)(X - mean)ᵀ: at no time is there a centred copy of all of X.

    With `factor`, the careful way: the first example is subtracted before scaling, so that a constant feature gives
    exact zeros (the mean of n equal numbers is not always that number) and the sum in a mean cannot overflow.
    """
    dtype, n = _working_dtype(x), len(x)
    total = torch.zeros(n, n, dtype=dtype, device=x.device)
    averaging = torch.full((1, n), 1 / n, dtype=dtype, device=x.device)
    height = min(_BLOCK, -(-n // 2)) if n >= _BLOCKS_FROM and x.device.type == "cpu" else n
    tops = range(0, n, height)
    upper = [total[top : top + height, top:] for top in tops]
    with full_float32_products(x.device):
        for start, stop in _chunks(x):
            part = x[:, start:stop]
            if factor is None:
                part = part.to(dtype)
            else:
                part = ((part.double() - part[:1].double()) * factor).to(dtype)
            part = part - averaging @ part  # by a product: faster than a mean over the rows
            for top, rows in zip(tops, upper, strict=True):
                rows.addmm_(part[top : top + height], part[top:].T)
    for top in tops:  # the lower triangle is its mirror image
        bottom = top + height
        total[bottom:, top:bottom] = total[top:bottom, bottom:].T
    return total


def _largest_deviation(x: Tensor) -> Tensor:
    """Largest absolute difference of a feature from its value in the first example, as float64."""
    largest = torch.zeros((), dtype=torch.float64, device=x.device)
    for start, stop in _chunks(x):
        part = x[:, start:stop].double()
        largest = torch.maximum(largest, (part - part[:1]).abs().amax())
    return largest


class full_float32_products:
    """Within it, float32 products on CUDA are made in full precision, TF32 out; afterwards all is as it was."""

    def __init__(self, device: torch.device) -> None:
        self._on = device.type == "cuda"

    def __enter__(self) -> None:
        if self._on:
            self._before = torch.backends.cuda.matmul.allow_tf32
            torch.backends.cuda.matmul.allow_tf32 = False

    def __exit__(self, *error: object) -> None:
        if self._on:
            torch.backends.cuda.matmul.allow_tf32 = self._before


def _rbf(products: Tensor, bandwidth: float) -> Tensor:
    """exp(-‖x_i - x_j‖² / (2σ²)) from centred products, σ = bandwidth times the median distance.

    The median is taken over all n² squared distances, the zero diagonal included, as in the code of 1905.00414, and
    between
    the two middle values where n is even (`torch.median` would take the lower).
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
    of K
    with a zero diagonal [Székely & Rizzo 2014]; n(n-3) HSIC_1(K, L) = Σ_{i≠j} A_ij B_ij.

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
