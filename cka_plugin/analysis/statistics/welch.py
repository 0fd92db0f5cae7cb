"""Two architectures with many seeds: Welch's t-test on the accuracies of the seeds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from cka_plugin.analysis.statistics.intervals import check_fraction


class Welch(NamedTuple):
    """Welch's test of one or more columns; every field is an array with one value a column."""

    difference: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    t: NDArray[np.float64]
    df: NDArray[np.float64]
    p: NDArray[np.float64]


WELCH_UNDEFINED = "the accuracy is the same for all seeds of either group: Welch's t has no variance to compare with"


def welch(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Welch:
    """Welch's t-test of mean(a) - mean(b), column by column, with Welch-Satterthwaite degrees of freedom.

    Args:
        a: (seeds_a, ...) accuracies, one row a seed, at least two.
        b: (seeds_b, ...) the same for the other group.
        level: of the interval of the difference.

    Returns:
        difference, its interval, t, df and two-sided p, each of the shape of a row. Where neither group varies, all
        but the difference are NaN (`WELCH_UNDEFINED` is the reason).

    Raises:
        ValueError: fewer than two rows, or rows of unlike shapes.

    Source: Welch 1947.

    Example:
        >>> result = welch([0.90, 0.92, 0.91], [0.88, 0.89, 0.87])
        >>> round(float(result.difference), 3), round(float(result.df), 1), round(float(result.p), 3)
        (0.03, 4.0, 0.021)
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim == 0 or b.ndim == 0 or len(a) < 2 or len(b) < 2 or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"groups of shapes {a.shape} and {b.shape}: expected (seeds, ...) with at least 2 seeds each")
    check_fraction(level, "level")
    # Not by the variance: the mean of equal numbers is not always that number.
    varies_a, varies_b = np.ptp(a, axis=0) > 0, np.ptp(b, axis=0) > 0
    square_a = np.where(varies_a, a.var(axis=0, ddof=1), 0.0) / len(a)
    square_b = np.where(varies_b, b.var(axis=0, ddof=1), 0.0) / len(b)
    square = np.where(varies_a | varies_b, square_a + square_b, math.nan)
    difference = a.mean(axis=0) - b.mean(axis=0)
    df = square**2 / (square_a**2 / (len(a) - 1) + square_b**2 / (len(b) - 1) + np.where(square > 0, 0.0, math.nan))
    error = np.sqrt(square)
    t = difference / error
    reach = stats.t.isf((1.0 - level) / 2.0, df) * error
    p = np.asarray(2.0 * stats.t.sf(np.abs(t), df))
    return Welch(difference, difference - reach, difference + reach, t, df, p)
