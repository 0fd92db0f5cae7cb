"""Mantel's test: are two matrices over the same models correlated, pair of models by pair of models?"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from cka_plugin.analysis.statistics.permutation import (
    PermutationTest,
    check_alternative,
    p_value,
    sided,
    symmetric_pairs,
    undefined,
    why_undefined,
)


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
    x, y = symmetric_pairs(x, "x"), symmetric_pairs(y, "y")
    if x.shape != y.shape:
        raise ValueError(f"matrices of shapes {x.shape} and {y.shape}: expected the same models in both")
    check_alternative(alternative)
    models = len(x)
    if models < 3:
        return undefined(f"a correlation over pairs needs at least 3 models; given {models}")
    if reason := why_undefined(x, "x") or why_undefined(y, "y"):
        return undefined(reason)
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
        return undefined(f"all pairs of {'x' if left is None else 'y'} are equal: no correlation")

    exact = math.factorial(models) <= permutations
    if exact:
        orders = np.array(list(itertools.permutations(range(models))), dtype=np.intp)
    else:
        generator = np.random.default_rng(seed)
        orders = generator.permuted(np.tile(np.arange(models), (permutations, 1)), axis=1)
    null = np.array([np.vdot(left, right[np.ix_(order, order)]) / 2 for order in orders])
    observed = float(np.vdot(left, right) / 2)
    p = p_value(float(sided(np.array([observed]), alternative)[0]), sided(null, alternative), exact)
    return PermutationTest(observed, p, 1 / (len(orders) + (not exact)), len(orders), exact)
