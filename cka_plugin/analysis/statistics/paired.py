"""Two fixed models on the same examples: exact McNemar test, and kappa of correctness beyond chance.

Counts and arrays in, numbers out. A number that is undefined is NaN and comes with the reason; none is made up.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Estimate(NamedTuple):
    """A number; where it is NaN, `reason` says why."""

    value: float
    reason: str = ""


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact McNemar test of two models on the same examples: two-sided binomial test of the discordant pairs.

    Args:
        only_a: examples that a alone gets right.
        only_b: examples that b alone gets right.

    Returns:
        p; 1 where there is no discordant pair.

    Raises:
        ValueError: a negative count.

    Source: McNemar 1947, exact conditional form.

    Example:
        >>> round(mcnemar(6, 16), 6)
        0.052479
        >>> mcnemar(0, 0)
        1.0
    """
    check_counts(only_a, only_b)
    if only_a + only_b == 0:
        return 1.0
    return float(stats.binomtest(int(only_a), int(only_a + only_b), 0.5).pvalue)


def smallest_mcnemar_p(n: int) -> float:
    """The smallest p that the exact McNemar test can give on n examples: all discordant in one direction, 2^(1-n).

    Example:
        >>> smallest_mcnemar_p(5), smallest_mcnemar_p(6)
        (0.0625, 0.03125)
    """
    return min(1.0, 2.0 ** (1 - n))


def error_consistency(right_a: ArrayLike, right_b: ArrayLike) -> Estimate:
    """Cohen's kappa of correctness: do two models err on the same examples more than their accuracies make likely?

    kappa = (c_obs - c_exp) / (1 - c_exp), c_obs the share of examples on which both are right or both wrong and
    c_exp = a b + (1 - a)(1 - b) what independent errors of the same accuracies give. 1: the same errors; 0: independent
    ones; below 0: errors that avoid one another.

    Args:
        right_a: (n,) booleans, whether a is right.
        right_b: (n,) the same for b.

    Returns:
        kappa; NaN with its reason where both models are right on all examples or both on none.

    Raises:
        ValueError: unequal lengths, or no example.

    Source: Geirhos, Meding & Wichmann 2020, "Beyond accuracy" (error consistency).

    Example:
        >>> error_consistency([1, 1, 0, 0], [1, 0, 0, 0]).value
        0.5
        >>> error_consistency([1, 1], [1, 1]).reason
        'both models are right on every example: nothing is left to be consistent beyond chance'
    """
    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise ValueError(f"correctness of shapes {a.shape} and {b.shape}: expected (n,) twice, n at least 1")
    n, rights_a, rights_b = a.size, int(a.sum()), int(b.sum())
    if rights_a == rights_b and rights_a in (0, n):
        how = "right on every example" if rights_a else "wrong on every example"
        return Estimate(math.nan, f"both models are {how}: nothing is left to be consistent beyond chance")
    expected = (rights_a * rights_b + (n - rights_a) * (n - rights_b)) / n**2
    return Estimate((float(np.mean(a == b)) - expected) / (1.0 - expected))


def check_counts(only_a: int, only_b: int, n: int | None = None) -> None:
    """Raise a ValueError where counts of discordant examples are negative, or more than all n."""
    if only_a < 0 or only_b < 0 or (n is not None and only_a + only_b > n):
        total = "" if n is None else f" of {n} examples"
        raise ValueError(f"discordant counts {only_a} and {only_b}{total}: expected counts that add up to at most all")
