"""How large a difference of two models a number of examples can show, and how many examples a difference takes.

Of the exact McNemar test (`paired.mcnemar`), whose power is exact too: summed over the number of discordant pairs, and
within each over how they divide.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cka_plugin.analysis.statistics.intervals import check_fraction

_NEGLIGIBLE = 1e-12  # of the probability of a number of discordant pairs
_MOST_EXAMPLES = 10_000_000


def mcnemar_power(n: int, only_a: float, only_b: float, alpha: float = 0.05) -> float:
    """The probability that the exact McNemar test finds two models different on n examples.

    Args:
        n: examples.
        only_a: the share of examples, in truth, that a alone gets right.
        only_b: the share that b alone gets right.
        alpha: the test finds a difference where p is at most this.

    Returns:
        The power; where both shares are equal, the size of the test.

    Raises:
        ValueError: shares that are none, or alpha outside (0, 1).

    Source: Lachin 1992, Statistics in Medicine 11, 1239-1251, unconditional power, here with the exact test.

    Example:
        >>> round(mcnemar_power(50, 0.2, 0.0), 3), round(mcnemar_power(20, 0.2, 0.0), 3)
        (0.952, 0.196)
    """
    check_fraction(alpha, "alpha")
    if n < 0 or only_a < 0 or only_b < 0 or only_a + only_b > 1:
        raise ValueError(f"shares {only_a} and {only_b} of {n} examples: expected shares that add up to at most 1")
    discordant = only_a + only_b
    if n == 0 or discordant == 0:
        return 0.0
    spread = stats.binom(n, discordant)
    pairs = np.arange(int(spread.ppf(_NEGLIGIBLE)), int(spread.isf(_NEGLIGIBLE)) + 1)
    last = _last_rejected(pairs, alpha)  # as many wins or fewer of one side are too few
    share = only_a / discordant
    rejected = stats.binom.cdf(last, pairs, share) + stats.binom.cdf(last, pairs, 1.0 - share)
    return float((spread.pmf(pairs) * np.where(last >= 0, rejected, 0.0)).sum())


def detectable_difference(n: int, discordant: float | None = None, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest true difference of accuracies that the exact McNemar test finds on n examples, with this power.

    Args:
        n: examples.
        discordant: the share of examples that one model alone gets right; None for the best case, in which all
            of them are of one side, so that no smaller difference can be found.
        power: probability of finding it.
        alpha: of the test.

    Returns:
        The difference, to 1e-6; NaN where n examples show none, however large.

    Example:
        >>> round(detectable_difference(256), 4), detectable_difference(5)
        (0.0307, nan)
    """
    check_fraction(power, "power")

    def found(difference: float) -> bool:
        one, other = _shares(difference, discordant)
        return mcnemar_power(n, one, other, alpha) >= power

    high = 1.0 if discordant is None else discordant
    if not found(high):
        return math.nan
    low = 0.0
    while high - low > 1e-6:
        middle = (low + high) / 2.0
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def examples_needed(
    difference: float, discordant: float | None = None, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """About how many examples the exact McNemar test takes to find a true difference of accuracies with this power.

    Args:
        difference: of the accuracies.
        discordant: the share of examples that one model alone gets right; None where all are of one side.
        power: probability of finding it.
        alpha: of the test.

    Returns:
        The number (power does not grow with every single example: some fewer may do as well); None for more than ten
        million.

    Raises:
        ValueError: a difference outside (0, 1], or a smaller share of discordant examples.

    Example:
        >>> examples_needed(0.2), examples_needed(0.02, discordant=0.1)
        (39, 2043)
    """
    check_fraction(power, "power")
    if not 0.0 < difference <= 1.0 or (discordant is not None and discordant < difference):
        raise ValueError(f"difference {difference} of {discordant} discordant: expected a share of them above 0")
    one, other = _shares(difference, discordant)
    high = 8
    while mcnemar_power(high, one, other, alpha) < power:
        high *= 2
        if high > _MOST_EXAMPLES:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if mcnemar_power(middle, one, other, alpha) >= power else (middle, high)
    return high


def _shares(difference: float, discordant: float | None) -> tuple[float, float]:
    if discordant is None:
        return difference, 0.0
    return (discordant + difference) / 2.0, (discordant - difference) / 2.0


def _last_rejected(pairs: NDArray[np.int64], alpha: float) -> NDArray[np.int64]:
    """For each number of discordant pairs the largest count of one side whose p is at most alpha; -1 for none."""
    first_above = np.asarray(stats.binom.ppf(alpha / 2.0, pairs, 0.5))  # where the tail first reaches alpha / 2
    last = first_above.astype(np.int64)
    return np.where(stats.binom.cdf(last, pairs, 0.5) <= alpha / 2.0, last, last - 1)
