"""The partial Mantel test: are two matrices over the same models correlated, beyond what others explain of both?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cka_plugin.analysis.statistics.permutation import (
    PermutationTest,
    check_alternative,
    p_value,
    sided,
    symmetric_pairs,
    undefined,
    why_undefined,
)

_NOTHING_LEFT = 1e-12  # of the sum of squares: residuals that are rounding


def partial_mantel(
    x: ArrayLike,
    y: ArrayLike,
    controls: Sequence[ArrayLike],
    *,
    alternative: str = "two-sided",
    permutations: int = 999,
    seed: int = 0,
) -> PermutationTest:
    """The correlation over pairs of models of what the controls leave of two matrices, tested by permuting models.

    Both matrices are regressed on the controls, pair by pair, and their residuals correlated; the null permutes the
    models of the residuals of `x`, which holds its level better than permuting `x` itself where `x` goes with the
    controls.

    Args:
        x: (models, models) symmetric; diagonals are ignored.
        y: (models, models) symmetric.
        controls: matrices like them, such as differences in size.
        alternative: `two-sided`, `greater` or `less`.
        permutations: of the models, drawn at random.
        seed: of the draws.

    Returns:
        The partial correlation and its p; NaN with the reason for fewer than 4 models or undefined pairs, or where the
        controls explain all of one side.

    Raises:
        ValueError: matrices that are not square, symmetric and of one size, or an unknown alternative.

    Source: Smouse, Long & Sokal 1986; the permutation of residuals: Legendre 2000, method 3.

    Example:
        >>> place = np.array([0.0, 1.0, 3.0, 7.0, 15.0, 31.0])
        >>> size = np.array([5.0, 2.0, 8.0, 1.0, 9.0, 3.0])
        >>> near, alike = (abs(one[:, None] - one) for one in (place, size))
        >>> test = partial_mantel(near + alike, near, [alike])
        >>> round(test.statistic, 6)
        1.0
    """
    given = [symmetric_pairs(x, "x"), symmetric_pairs(y, "y")]
    given += [symmetric_pairs(one, f"control {place}") for place, one in enumerate(controls)]
    if len({one.shape for one in given}) > 1:
        raise ValueError(f"matrices of shapes {[one.shape for one in given]}: expected the same models in all")
    check_alternative(alternative)
    models = len(given[0])
    if models < 4:
        return undefined(f"a partial correlation over pairs needs at least 4 models; given {models}")
    for place, one in enumerate(given):
        if reason := why_undefined(one, ["x", "y"][place] if place < 2 else f"control {place - 2}"):
            return undefined(reason)
    left = [residuals(one, given[2:]) for one in given[:2]]
    for one, name, whole in zip(left, "xy", given, strict=False):
        if np.square(one).sum() <= _NOTHING_LEFT * max(float(np.square(whole).sum()), 1e-300):
            return undefined(f"the controls explain all of {name}")
    of_x, of_y = (one / np.linalg.norm(one) for one in left)
    generator = np.random.default_rng(seed)
    orders = (generator.permutation(models) for _ in range(permutations))
    null = np.array([np.vdot(of_x[order][:, order], of_y) for order in orders])
    observed = float(np.vdot(of_x, of_y))
    p = p_value(float(sided(np.array([observed]), alternative)[0]), sided(null, alternative), exact=False)
    return PermutationTest(observed, p, 1 / (permutations + 1), permutations, False)


def residuals(matrix: NDArray[np.float64], controls: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """What least squares on the controls and a constant leaves of a symmetric matrix, pair by pair; zero diagonal."""
    upper = np.triu_indices(len(matrix), 1)
    pairs = matrix[upper]
    design = np.column_stack([np.ones(len(pairs)), *(one[upper] for one in controls)])
    fitted = design @ np.linalg.lstsq(design, pairs, rcond=None)[0]
    out = np.zeros_like(matrix)
    out[upper] = pairs - fitted
    return np.asarray(out + out.T)
