"""Minibatch CKA from packed vectors: inner products minibatch by minibatch, their ratio, and jackknife intervals.

Minibatch CKA is the cosine of two layers' vectors (Nguyen, Raghu & Kornblith 2021, eq. 2 and 3): per minibatch one
matrix product gives the sums of every pair of layers, and the same sums give the uncertainty.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cka_plugin.core.products import full_float32_products

MIN_MINIBATCHES = 8  # with fewer, a jackknife interval says nothing
_PRODUCT_LENGTH = 4096  # float32 sums of 80,000 pairs (n = 400) would be off by 2e-6

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """Inner products per minibatch of the layers of two models, all that CKA and its uncertainty need.

    Attributes:
        xy: (minibatches, layers_a, layers_b) float64.
        xx: (minibatches, layers_a).
        yy: (minibatches, layers_b).
        first_pass: (minibatches,) bool: minibatches of the first pass over the data, the only ones intervals use.
        meeting: (minibatches,) of vectors that were projected, how probable it is that two entries were added up
            (`Projection.meeting`); None of whole ones.
    """

    xy: Floats
    xx: Floats
    yy: Floats
    first_pass: npt.NDArray[np.bool_]
    meeting: Floats | None = None

    def cka(self) -> Floats:
        """(layers_a, layers_b): the ratio of sums; NaN where a layer's own sum is zero or not finite."""
        return _ratio(self.xy.sum(0), self.xx.sum(0), self.yy.sum(0))

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Jackknife interval of each entry of `cka()`.

        One minibatch is left out at a time; the interval is Student's t with B - 1 degrees of freedom around the
        estimate, its width from the first pass only (later passes hold the same examples: over ten of them it would
        cover 0.48).

        Returns:
            (low, high), each (layers_a, layers_b); NaN where there are fewer than 8 minibatches.

        Raises:
            ValueError: a level outside (0, 1).
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"level {level!r}: expected a number between 0 and 1, such as 0.95")
        estimate = self.cka()
        count = int(self.first_pass.sum())
        if count < MIN_MINIBATCHES:
            missing = np.full_like(estimate, np.nan)
            return missing, missing.copy()
        from scipy.stats import t

        half = t.ppf(0.5 + level / 2, count - 1) * self.standard_error()
        return estimate - half, estimate + half

    def standard_error(self) -> Floats:
        """Delete-one jackknife standard error over the minibatches of the first pass: (layers_a, layers_b)."""
        left_out = self.leave_one_out()
        count = len(left_out)
        return np.asarray(np.sqrt((count - 1) / count * np.square(left_out - left_out.mean(0)).sum(0)))

    def sketch_error(self) -> Floats:
        """Standard error of each entry of `cka()` that comes of random projections: (layers_a, layers_b); 0 of whole
        vectors.

        An inner product of projections errs by what pairs of entries that fall into one group have in common: its
        variance is at most 2 p ‖M‖² for a quadratic form M of rank two, p the probability to meet. To first order CKA
        errs by the form M = (x yᵀ + y xᵀ)/2 - CKA (x xᵀ + y yᵀ)/2 of the vectors x and y, each divided by its length
        over all minibatches; ‖M‖² follows from the sums that are at hand. About (1 - CKA²)/sqrt(size x minibatches).
        """
        estimate = self.cka()
        if self.meeting is None:
            return np.zeros_like(estimate)
        total_x, total_y = self.xx.sum(0)[:, None], self.yy.sum(0)[None, :]
        variance = np.zeros_like(estimate)
        with np.errstate(invalid="ignore", divide="ignore"):
            both = np.sqrt(total_x * total_y)
            for xy, xx, yy, p in zip(self.xy, self.xx, self.yy, self.meeting, strict=True):
                x, y, c = xx[:, None] / total_x, yy[None, :] / total_y, xy / both
                form = (x * y + c * c) / 2 + estimate**2 / 4 * (x * x + y * y + 2 * c * c) - estimate * c * (x + y)
                variance += 2 * p * np.maximum(form, 0.0)
            return np.asarray(np.sqrt(variance), dtype=np.float64)

    def leave_one_out(self) -> Floats:
        """(minibatches of the first pass, layers_a, layers_b): CKA without each minibatch in turn."""
        xy, xx, yy = self.xy[self.first_pass], self.xx[self.first_pass], self.yy[self.first_pass]
        return _ratio(xy.sum(0) - xy, xx.sum(0) - xx, yy.sum(0) - yy)


def inner_products(
    vectors_a: npt.NDArray[Any],
    diagonals_a: npt.NDArray[Any],
    vectors_b: npt.NDArray[Any],
    diagonals_b: npt.NDArray[Any],
    estimator: str = "unbiased",
) -> Floats:
    """Inner products of every layer of one model with every layer of another, in one minibatch.

    Args:
        vectors_a: (layers_a, n(n-1)/2) packed U-centred Gram matrices.
        diagonals_a: (layers_a, n) diagonals of HKH.
        vectors_b: (layers_b, n(n-1)/2).
        diagonals_b: (layers_b, n).
        estimator: `unbiased`: Σ_{i≠j} A_ij B_ij = n(n-3) HSIC_1; `biased`: <HKH, HLH> = (n-1)² HSIC_0.

    Returns:
        (layers_a, layers_b) in float64; products of a few thousand pairs are made in the vectors' own precision and
        added up in float64.
    """
    a, b = _tensor(vectors_a), _tensor(vectors_b)
    total = torch.zeros(len(a), len(b), dtype=torch.float64)
    with full_float32_products(total.device):
        for start in range(0, a.shape[1], _PRODUCT_LENGTH):
            stop = start + _PRODUCT_LENGTH
            total += torch.matmul(a[:, start:stop], b[:, start:stop].T)
    product = 2.0 * total.numpy()
    if estimator == "biased":
        product += _biased_part(diagonals_a[:, None, :], diagonals_b[None, :, :], diagonals_a, diagonals_b)
    return product


def self_products(vectors: npt.NDArray[Any], diagonals: npt.NDArray[Any], estimator: str = "unbiased") -> Floats:
    """Inner product of each layer with itself in one minibatch: (layers,), float64."""
    product = 2.0 * np.array([np.einsum("i,i->", row, row, dtype=np.float64, casting="unsafe") for row in vectors])
    if estimator == "biased":
        product += _biased_part(diagonals, diagonals, diagonals, diagonals)
    return product


def _biased_part(
    wide_a: npt.NDArray[Any], wide_b: npt.NDArray[Any], diagonals_a: npt.NDArray[Any], diagonals_b: npt.NDArray[Any]
) -> Floats:
    """What <HKH, HLH> has beyond <A, B>: n Σ d_i e_i/(n-2) - (Σ d_i)(Σ e_i)/((n-1)(n-2)).

    From HKH_ij = A_ij - (d_i + d_j)/(n-2) + T/((n-1)(n-2)): the rows of A sum to zero, so all mixed terms vanish.
    """
    n = diagonals_a.shape[-1]
    d, e = diagonals_a.astype(np.float64), diagonals_b.astype(np.float64)
    if wide_a.ndim == 3:
        both, totals = d @ e.T, np.outer(d.sum(-1), e.sum(-1))
    else:
        both, totals = (d * e).sum(-1), d.sum(-1) * e.sum(-1)
    return np.asarray(n * both / (n - 2) - totals / ((n - 1) * (n - 2)), dtype=np.float64)


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    with warnings.catch_warnings():  # read-only memory (a mapped file) is only read here
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensor = torch.from_numpy(array)
    # On some machines float32 products depend on where in memory the factors lie: a loaded file would differ by 5e-8.
    tensor = tensor.clone() if tensor.data_ptr() % 64 else tensor
    return tensor.float() if tensor.dtype == torch.float16 else tensor


def _ratio(xy: Floats, xx: Floats, yy: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        norms = np.sqrt(xx)[..., :, None] * np.sqrt(yy)[..., None, :]
        return np.asarray(np.where(norms > 0, xy / norms, np.nan), dtype=np.float64)
