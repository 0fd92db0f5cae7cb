"""CKA between two arrays of activations, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cka_plugin.core.centring import MIN_EXAMPLES, recover_centered, u_center
from cka_plugin.core.kernels import KERNELS, as_rows, gram
from cka_plugin.warnings import warn

ESTIMATORS = ("unbiased", "biased")
DEGENERATE = 1e-13  # a self-similarity below this share of its scale, squared, is rounding and not structure


def cka(x: Any, y: Any, kernel: str = "linear", estimator: str = "unbiased", bandwidth: float = 0.5) -> float:
    """CKA between two arrays of activations on the same examples, computed in float64.

    Args:
        x: (n, ...) array or tensor, one row an example; further axes are flattened.
        y: (n, ...) likewise, any number of features.
        kernel: `linear` or `rbf`.
        estimator: `unbiased` (HSIC_1; can be slightly negative, or exceed 1, and is reported as it is) or `biased`
            (HSIC_0 of 1905.00414, inflated when there are more features than examples).
        bandwidth: for `rbf`, σ as a multiple of the median distance.

    Returns:
        The similarity. NaN, with a warning that says why, where either side is constant or not finite.

    Raises:
        ValueError: unequal numbers of examples, fewer than 4, or an unknown option.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(50, 8))
        >>> round(cka(x, x @ np.linalg.qr(rng.normal(size=(8, 8)))[0] * 3 + 1), 6)
        1.0
    """
    check_estimator(estimator)
    check_kernel(kernel)
    first, second = checked_pair(x, y)
    centred = []
    for name, rows in (("x", first), ("y", second)):
        k, _ = gram(rows, kernel, bandwidth)
        a, diagonal = u_center(k)
        centred.append(a if estimator == "unbiased" else recover_centered(a, diagonal))
        reason = problem_of(rows, float((a * a).sum()), diagonal)
        if reason:
            warn(f"CKA is NaN: {name} is {reason}")
            return float("nan")
    k, l = centred
    return float((k * l).sum() / torch.sqrt((k * k).sum() * (l * l).sum()))


def checked_pair(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Two arrays of activations on the same examples as (n, d) float64.

    Raises:
        ValueError: unequal numbers of examples, fewer than 4, or no real activations.
    """
    first, second = _rows(x, "x"), _rows(y, "y")
    if len(first) != len(second):
        raise ValueError(
            f"x holds {len(first)} examples and y {len(second)}: CKA compares the same examples in the same order"
        )
    if len(first) < MIN_EXAMPLES:
        raise ValueError(f"given {len(first)} examples: CKA needs at least {MIN_EXAMPLES}")
    return first, second


def check_kernel(kernel: str) -> None:
    """Raise a ValueError unless `kernel` is known."""
    if kernel not in KERNELS:
        raise ValueError(f"kernel {kernel!r}: expected one of {', '.join(KERNELS)}")


def _rows(x: Any, name: str) -> Tensor:
    tensor = x.detach() if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
    if tensor.ndim == 0 or tensor.is_complex():
        raise ValueError(
            f"{name} has shape {tuple(tensor.shape)} and dtype {tensor.dtype}: expected real activations (n, ...)"
        )
    return as_rows(tensor.double())


def problem_of(rows: Tensor, self_sum: float, diagonal: Tensor) -> str | None:
    """Why a layer's similarity is undefined: not finite, constant, or without structure; None where it is defined."""
    if not bool(torch.isfinite(rows).all()):
        return "not finite (it holds NaN or infinity)"
    if not np.isfinite(self_sum):
        return "without a kernel matrix (most examples are the same, so that the median distance is 0)"
    scale = float(diagonal.double().square().sum())
    if scale == 0.0:
        return "constant (every example gives the same activations)"
    if self_sum <= DEGENERATE * scale:
        return "without structure (every pair of examples is equally similar)"
    return None


def check_estimator(estimator: str) -> None:
    """Raise a ValueError unless `estimator` is known."""
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator {estimator!r}: expected one of {', '.join(ESTIMATORS)}")
