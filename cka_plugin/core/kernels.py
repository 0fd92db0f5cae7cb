"""Gram matrices of one minibatch: the kernels, each brought near unit scale by a power of two.

Sources: Kornblith et al. 2019 (1905.00414), section 4, for the RBF kernel and its bandwidth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cka_plugin.core.products import centred_products, largest_deviation, working_dtype

KERNELS = ("linear", "rbf")

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


@dataclass(frozen=True)
class Doubt:
    """What tells, once values may be looked at, whether a Gram matrix that was made without looking can be trusted.

    Attributes:
        offset: without axes: Σ over the features of the first example's squares.
        features: their number.
    """

    offset: Tensor
    features: int


def products_in_doubt(x: Tensor) -> tuple[Tensor, Doubt]:
    """The linear Gram matrix as it is made of nearly all activations, without a look at any value.

    On a device that is no CPU every look waits for all that was asked of it. Whether the matrix can be trusted is told
    by `doubtful`, of many at once; where it cannot, `careful_similarities` makes it.
    """
    first = x[0].detach().to(working_dtype(x))
    return centred_products(x), Doubt(torch.dot(first, first), x.shape[1])


def doubtful(k: Tensor, doubts: Sequence[Doubt]) -> Tensor:
    """(layers,) bool: whether products of float32 may have lost the structure of a layer. k: (layers, n, n).

    Example:
        >>> made = [products_in_doubt(x) for x in (torch.randn(8, 5), torch.ones(8, 5), torch.randn(8, 5) * 1e-30)]
        >>> doubtful(torch.stack([k for k, _ in made]), [doubt for _, doubt in made]).tolist()
        [False, True, True]
    """
    level = k.diagonal(dim1=-2, dim2=-1).mean(-1, dtype=torch.float64)
    features = torch.tensor([max(doubt.features, 1) for doubt in doubts], dtype=torch.float64)
    spread = level / features.to(k.device, non_blocking=k.device.type != "cpu")
    offset = torch.stack([doubt.offset.to(k.device, torch.float64) for doubt in doubts])
    safe = (spread > _SAFE_SQUARE[0]) & (spread < _SAFE_SQUARE[1]) & (level > _NEARLY_CONSTANT * offset)
    return ~safe


def similarities(x: Tensor, kernel: str = "linear", bandwidth: float = 0.5) -> tuple[Tensor, Tensor]:
    """As `gram`, but as large as the activations make it: for `levelled`, which takes many matrices at once."""
    if x.device.type == "cpu":  # elsewhere looking at a value would wait for the device
        k = centred_products(x)
        spread = float(k.trace()) / max(k.shape[0] * x.shape[1], 1)
        first = x[0].to(working_dtype(x))
        offset = float(torch.dot(first, first)) / max(x.shape[1], 1)
        if _SAFE_SQUARE[0] < spread < _SAFE_SQUARE[1] and spread > _NEARLY_CONSTANT * offset:
            exponent = torch.zeros((), dtype=torch.int32)
            return (_rbf(k, bandwidth), exponent) if kernel == "rbf" else (k, exponent)
    return careful_similarities(x, kernel, bandwidth)


def careful_similarities(x: Tensor, kernel: str = "linear", bandwidth: float = 0.5) -> tuple[Tensor, Tensor]:
    """As `similarities`, of activations of any scale and offset, without a look at any value."""
    size = largest_deviation(x)
    size = torch.where(torch.isfinite(size) & (size > 0), size, torch.ones_like(size))
    exponent = torch.frexp(size)[1].to(torch.int32)
    k = centred_products(x, torch.ldexp(torch.ones_like(size), -exponent))
    if kernel == "rbf":
        return _rbf(k, bandwidth), torch.zeros_like(exponent)
    return k, 2 * exponent


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
