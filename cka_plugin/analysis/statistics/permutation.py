"""Permutation tests in which the model is the unit, since pairs that share a model are not independent.

What the tests share: their outcome, the ways to relabel models, and p. Each relabels whole models, and says how small
its p could have become at all.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cka_plugin import tables

ALTERNATIVES = ("two-sided", "greater", "less")
_TIE = 1e-9  # relabellings that give the same number up to rounding count as equal to it


@dataclass(frozen=True, repr=False)
class PermutationTest(tables.Result):
    """The outcome of a permutation test.

    Attributes:
        statistic: what was observed.
        p: share of relabellings with a statistic at least as extreme, the observed labelling among them.
        smallest_p: the smallest p that so many models and relabellings can give; above alpha, nothing can be
            significant.
        relabellings: how many were looked at.
        exact: whether these were all there are; otherwise they were drawn at random.
        reason: why statistic or p is NaN; empty where neither is.
    """

    statistic: float
    p: float
    smallest_p: float
    relabellings: int
    exact: bool
    reason: str = ""

    def __repr__(self) -> str:
        if self.reason:
            return f"undefined: {self.reason}"
        how = "all" if self.exact else "drawn"
        return (
            f"{self.statistic:+.3f}, p = {tables.short(self.p)} by permuting models (smallest possible "
            f"{tables.short(self.smallest_p)}; {self.relabellings} relabellings, {how})"
        )


def undefined(reason: str) -> PermutationTest:
    """The outcome of a test that could not be made."""
    return PermutationTest(math.nan, math.nan, math.nan, 0, False, reason)


def p_value(observed: float, null: NDArray[np.float64], exact: bool) -> float:
    """Share of the null that reaches what was observed; a random null takes the observed labelling in as one more."""
    reached = int(np.sum(null >= observed - _TIE * max(1.0, abs(observed))))
    return reached / len(null) if exact else (1 + reached) / (1 + len(null))


def check_alternative(alternative: str) -> None:
    """Raise a ValueError unless the alternative is known."""
    if alternative not in ALTERNATIVES:
        raise ValueError(f"alternative {alternative!r}: expected one of {', '.join(ALTERNATIVES)}")


def sided(values: NDArray[np.float64], alternative: str) -> NDArray[np.float64]:
    """Statistics such that the larger is the more extreme."""
    return {"two-sided": np.abs(values), "greater": values, "less": -values}[alternative]


def group_splits(n_a: int, n_b: int, most: int = 9999, seed: int = 0) -> tuple[NDArray[np.bool_], bool]:
    """Ways to deal n_a + n_b models to two groups of these sizes.

    Returns:
        (splits, n_a + n_b) booleans, true where the model goes to group a, and whether these are all splits (the
        given one, with a first, among them). Where there are more than `most`, that many are drawn at random.

    Example:
        >>> splits, exact = group_splits(3, 3)
        >>> len(splits), exact
        (20, True)
    """
    models = n_a + n_b
    if math.comb(models, n_a) <= most:
        chosen = np.array(list(itertools.combinations(range(models), n_a)), dtype=np.intp).reshape(-1, n_a)
        exact = True
    else:
        generator = np.random.default_rng(seed)
        chosen = generator.permuted(np.tile(np.arange(models), (most, 1)), axis=1)[:, :n_a]
        exact = False
    splits = np.zeros((len(chosen), models), dtype=bool)
    np.put_along_axis(splits, chosen, True, axis=1)
    return splits, exact


def smallest_split_p(n_a: int, n_b: int, most: int = 9999) -> float:
    """The smallest p of a test over `group_splits` that does not care which group is called a.

    Example:
        >>> smallest_split_p(3, 3)
        0.1
    """
    splits = math.comb(n_a + n_b, n_a)
    if splits > most:
        return 1 / (most + 1)
    return min(1.0, (2 if n_a == n_b else 1) / splits)


def symmetric_pairs(matrix: ArrayLike, name: str) -> NDArray[np.float64]:
    """The matrix as float64 with a zero diagonal."""
    values = np.array(matrix, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"{name} of shape {values.shape}: expected (models, models)")
    if not np.allclose(values, values.T, rtol=1e-6, atol=1e-9, equal_nan=True):
        raise ValueError(f"{name} is not symmetric: expected one number for each pair of models")
    np.fill_diagonal(values, 0.0)
    return values


def why_undefined(matrix: NDArray[np.float64], name: str) -> str:
    """Why no test over pairs can be made of the matrix; empty where it can."""
    if np.isfinite(matrix).all():
        return ""
    models = np.flatnonzero(~np.isfinite(matrix).all(axis=0)).tolist()
    return f"{name} is not defined for all pairs of models (rows {models}): leave those models out"
