"""Permutation tests in which the model is the unit, since pairs that share a model are not independent.

`mantel` relates two matrices over the same models, `within_between` asks whether groups of models are alike within,
`gap_test` whether two groups of seeds differ on single examples beyond the noise of seeds. Each relabels whole
models; each says how small its p could have become at all.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from cka_plugin import tables

if TYPE_CHECKING:
    import pandas as pd

ALTERNATIVES = ("two-sided", "greater", "less")
_TIE = 1e-9  # relabellings that give the same number up to rounding count as equal to it


@dataclass(frozen=True, repr=False)
class PermutationTest:
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

    def to_frame(self) -> pd.DataFrame:
        """One row."""
        return tables.to_frame([self], PermutationTest)

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-safe: NaN is None, and `reason` says why."""
        result: dict[str, Any] = tables.json_safe(self)
        return result

    def __repr__(self) -> str:
        if self.reason:
            return f"undefined: {self.reason}"
        how = "all" if self.exact else "drawn"
        return (
            f"{self.statistic:+.3f}, p = {tables.short(self.p)} by permuting models (smallest possible "
            f"{tables.short(self.smallest_p)}; {self.relabellings} relabellings, {how})"
        )


def _undefined(reason: str) -> PermutationTest:
    return PermutationTest(math.nan, math.nan, math.nan, 0, False, reason)


def _p_value(observed: float, null: NDArray[np.float64], exact: bool) -> float:
    """Share of the null that reaches what was observed; a random null takes the observed labelling in as one more."""
    reached = int(np.sum(null >= observed - _TIE * max(1.0, abs(observed))))
    return reached / len(null) if exact else (1 + reached) / (1 + len(null))


def _sided(values: NDArray[np.float64], alternative: str) -> NDArray[np.float64]:
    if alternative not in ALTERNATIVES:
        raise ValueError(f"alternative {alternative!r}: expected one of {', '.join(ALTERNATIVES)}")
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


def gap_test(
    values_a: ArrayLike, values_b: ArrayLike, *, centred: bool = False, permutations: int = 9999, seed: int = 0
) -> PermutationTest:
    """Do two groups of models differ on single examples by more than seeds of one group do?

    The statistic is the root mean square over examples of the gap between the groups' means; the null deals the
    models to groups of the same sizes anew.

    Args:
        values_a: (models, n) correctness, or any number a model gives an example.
        values_b: (models, n).
        centred: take the mean gap out first, so that a difference in overall accuracy alone is no difference.
        permutations: enumerate all splits if there are no more than this; draw this many otherwise.
        seed: of the draws.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> a = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]])
        >>> test = gap_test(a, 1 - a)
        >>> round(test.statistic, 6), test.p, test.smallest_p
        (1.0, 0.1, 0.1)
    """
    a, b = np.asarray(values_a, dtype=np.float64), np.asarray(values_b, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not (a.size and b.size):
        raise ValueError(
            f"values of shapes {a.shape} and {b.shape}: expected (models, n) twice, with the same examples"
        )
    values = np.concatenate([a, b])
    if centred:
        values = values - values.mean(axis=1, keepdims=True)
    gram = values @ values.T / values.shape[1]  # the mean square gap of any split is a quadratic form in it

    def rms_gaps(splits: NDArray[np.bool_]) -> NDArray[np.float64]:
        weights = np.where(splits, 1.0 / len(a), -1.0 / len(b))
        return np.sqrt(np.maximum(np.einsum("si,ij,sj->s", weights, gram, weights, optimize=True), 0.0))

    observed = float(rms_gaps(np.arange(len(values))[None] < len(a))[0])
    splits, exact = group_splits(len(a), len(b), permutations, seed)
    p = _p_value(observed, rms_gaps(splits), exact)
    return PermutationTest(observed, p, smallest_split_p(len(a), len(b), permutations), len(splits), exact)


def _symmetric(matrix: ArrayLike, name: str) -> NDArray[np.float64]:
    """The matrix as float64 with a zero diagonal."""
    values = np.array(matrix, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"{name} of shape {values.shape}: expected (models, models)")
    if not np.allclose(values, values.T, rtol=1e-6, atol=1e-9, equal_nan=True):
        raise ValueError(f"{name} is not symmetric: expected one number for each pair of models")
    np.fill_diagonal(values, 0.0)
    return values


def _not_defined_for(matrix: NDArray[np.float64], name: str) -> str:
    if np.isfinite(matrix).all():
        return ""
    models = np.flatnonzero(~np.isfinite(matrix).all(axis=0)).tolist()
    return f"{name} is not defined for all pairs of models (rows {models}): leave those models out"


def mantel(
    x: ArrayLike,
    y: ArrayLike,
    *,
    ranks: bool = False,
    alternative: str = "two-sided",
    permutations: int = 9999,
    seed: int = 0,
) -> PermutationTest:
    """Mantel's test: are two matrices over the same models correlated, pair of models by pair of models?

    Pairs that share a model are not independent, so the correlation over pairs is tested by permuting the models of one
    side; the usual p value of a correlation is far too small.

    Args:
        x: (models, models) symmetric, such as the similarity of representations; diagonals are ignored.
        y: (models, models) symmetric, such as agreement of predictions.
        ranks: correlate ranks (Spearman) instead of values (Pearson).
        alternative: `two-sided`, `greater` or `less`.
        permutations: enumerate all orders of the models if there are no more than this; draw this many otherwise.
        seed: of the draws.

    Returns:
        The correlation over pairs, and its p; NaN with the reason for fewer than 3 models, undefined pairs, or a
        matrix whose pairs are all equal.

    Raises:
        ValueError: matrices that are not square, symmetric and of one size, or an unknown alternative.

    Source: Mantel 1967.

    Example:
        >>> place = np.array([0.0, 1.0, 3.0, 7.0, 15.0])
        >>> distance = abs(place[:, None] - place)
        >>> test = mantel(-distance, np.exp(-distance), ranks=True)
        >>> round(test.statistic, 6), round(test.p, 6), test.exact
        (1.0, 0.008333, True)
    """
    x, y = _symmetric(x, "x"), _symmetric(y, "y")
    if x.shape != y.shape:
        raise ValueError(f"matrices of shapes {x.shape} and {y.shape}: expected the same models in both")
    _sided(np.zeros(1), alternative)
    models = len(x)
    if models < 3:
        return _undefined(f"a correlation over pairs needs at least 3 models; given {models}")
    if reason := _not_defined_for(x, "x") or _not_defined_for(y, "y"):
        return _undefined(reason)
    upper = np.triu_indices(models, 1)

    def standardised(matrix: NDArray[np.float64]) -> NDArray[np.float64] | None:
        pairs = matrix[upper]
        if ranks:
            pairs = stats.rankdata(pairs)
        if np.ptp(pairs) == 0:
            return None
        pairs = pairs - pairs.mean()
        pairs = pairs / np.linalg.norm(pairs)
        out = np.zeros_like(matrix)
        out[upper] = pairs
        return out + out.T

    left, right = standardised(x), standardised(y)
    if left is None or right is None:
        return _undefined(f"all pairs of {'x' if left is None else 'y'} are equal: no correlation")

    exact = math.factorial(models) <= permutations
    if exact:
        orders = np.array(list(itertools.permutations(range(models))), dtype=np.intp)
    else:
        generator = np.random.default_rng(seed)
        orders = generator.permuted(np.tile(np.arange(models), (permutations, 1)), axis=1)
    null = np.array([np.vdot(left, right[np.ix_(order, order)]) / 2 for order in orders])
    observed = float(np.vdot(left, right) / 2)
    p = _p_value(float(_sided(np.array([observed]), alternative)[0]), _sided(null, alternative), exact)
    return PermutationTest(observed, p, 1 / (len(orders) + (not exact)), len(orders), exact)


def within_between(
    similarity: ArrayLike,
    groups: Sequence[object],
    *,
    alternative: str = "greater",
    permutations: int = 9999,
    seed: int = 0,
) -> PermutationTest:
    """Are models of the same group more similar than models of different groups?

    Args:
        similarity: (models, models) symmetric, such as mean CKA at equal depth; the diagonal is ignored.
        groups: (models,) two different labels, such as architectures; at least two models each.
        alternative: `greater` (more similar within), `less` or `two-sided`.
        permutations: enumerate all splits if there are no more than this; draw this many otherwise.
        seed: of the draws.

    Returns:
        Mean similarity of pairs within groups minus that of pairs between, and its p, permuting the models; NaN with
        the reason where a pair is undefined.

    Raises:
        ValueError: not two groups of two or more, or a matrix that is not square and symmetric.

    Example:
        >>> alike = np.where(np.equal.outer([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1]), 0.9, 0.4)
        >>> test = within_between(alike, ["wide"] * 3 + ["deep"] * 3)
        >>> round(test.statistic, 6), test.p
        (0.5, 0.1)
    """
    matrix = _symmetric(similarity, "similarity")
    labels = np.array([str(group) for group in groups])
    names = list(dict.fromkeys(labels.tolist()))
    sizes = [int(np.sum(labels == name)) for name in names]
    if len(labels) != len(matrix) or len(names) != 2 or min(sizes) < 2:
        raise ValueError(
            f"{len(matrix)} models with {len(labels)} group labels, {dict(zip(names, sizes, strict=True))}: "
            "expected one label a model and two groups of at least two models"
        )
    _sided(np.zeros(1), alternative)
    if reason := _not_defined_for(matrix, "similarity"):
        return _undefined(reason)
    total = matrix.sum() / 2
    pairs_within = sum(math.comb(size, 2) for size in sizes)
    pairs_between = sizes[0] * sizes[1]

    def contrast(splits: NDArray[np.bool_]) -> NDArray[np.float64]:
        signs = np.where(splits, 1.0, -1.0)
        # sᵀSs counts a pair twice, with + within and - between.
        within = (np.einsum("si,ij,sj->s", signs, matrix, signs, optimize=True) / 2 + total) / 2
        return within / pairs_within - (total - within) / pairs_between

    observed = float(contrast((labels == names[0])[None])[0])
    splits, exact = group_splits(sizes[0], sizes[1], permutations, seed)
    p = _p_value(float(_sided(np.array([observed]), alternative)[0]), _sided(contrast(splits), alternative), exact)
    return PermutationTest(observed, p, smallest_split_p(sizes[0], sizes[1], permutations), len(splits), exact)
