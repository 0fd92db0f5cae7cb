"""Two groups of models, seeds of two architectures: are they more alike within, do they differ beyond seed noise?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cka_plugin.analysis.statistics.permutation import (
    PermutationTest,
    check_alternative,
    group_splits,
    p_value,
    sided,
    smallest_split_p,
    symmetric_pairs,
    undefined,
    why_undefined,
)


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
    p = p_value(observed, rms_gaps(splits), exact)
    return PermutationTest(observed, p, smallest_split_p(len(a), len(b), permutations), len(splits), exact)


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
    matrix = symmetric_pairs(similarity, "similarity")
    labels = np.array([str(group) for group in groups])
    names = list(dict.fromkeys(labels.tolist()))
    sizes = [int(np.sum(labels == name)) for name in names]
    if len(labels) != len(matrix) or len(names) != 2 or min(sizes) < 2:
        raise ValueError(
            f"{len(matrix)} models with {len(labels)} group labels, {dict(zip(names, sizes, strict=True))}: "
            "expected one label a model and two groups of at least two models"
        )
    check_alternative(alternative)
    if reason := why_undefined(matrix, "similarity"):
        return undefined(reason)
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
    p = p_value(float(sided(np.array([observed]), alternative)[0]), sided(contrast(splits), alternative), exact)
    return PermutationTest(observed, p, smallest_split_p(sizes[0], sizes[1], permutations), len(splits), exact)
