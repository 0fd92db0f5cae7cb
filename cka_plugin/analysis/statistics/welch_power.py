"""How large a difference between two groups of models Welch's test can show, and how many models one takes."""

from __future__ import annotations

import math

from scipy import stats

from cka_plugin.analysis.statistics.intervals import check_fraction

MOST_SEEDS = 100_000


def welch_power(
    difference: float, variances: tuple[float, float], seeds: tuple[int, int], alpha: float = 0.05
) -> float:
    """The probability that Welch's test finds two groups different.

    Args:
        difference: of the means, in truth.
        variances: of one model of either group, in truth.
        seeds: models in either group, at least 2.
        alpha: of the test.

    Returns:
        The power, by the noncentral t distribution with Welch's degrees of freedom; NaN where neither group varies.

    Source: Jan & Shieh 2011, British Journal of Mathematical and Statistical Psychology 64, 1-20.

    Example:
        >>> round(welch_power(0.01, (0.0001, 0.0001), (10, 10)), 2), round(welch_power(0.0, (1, 1), (10, 10)), 2)
        (0.56, 0.05)
    """
    check_fraction(alpha, "alpha")
    squares = [variance / count for variance, count in zip(variances, seeds, strict=True)]
    total = sum(squares)
    if total == 0.0:
        return math.nan
    df = total**2 / sum(square**2 / (count - 1) for square, count in zip(squares, seeds, strict=True))
    reach, shift = stats.t.isf(alpha / 2.0, df), abs(difference) / math.sqrt(total)
    return float(stats.nct.sf(reach, df, shift) + stats.nct.cdf(-reach, df, shift))


def detectable_by_welch(
    variances: tuple[float, float], seeds: tuple[int, int], power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest true difference of means that Welch's test finds with this power; NaN where neither group varies."""
    check_fraction(power, "power")
    if sum(variances) == 0.0:
        return math.nan
    low, high = 0.0, math.sqrt(sum(v / n for v, n in zip(variances, seeds, strict=True)))
    while welch_power(high, variances, seeds, alpha) < power:
        high *= 2.0
    while high - low > 1e-3 * high:
        middle = (low + high) / 2.0
        low, high = (low, middle) if welch_power(middle, variances, seeds, alpha) >= power else (middle, high)
    return high


def seeds_needed(
    difference: float, variances: tuple[float, float], power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """How many models of either group Welch's test takes to find a difference with this power.

    Returns:
        The number; None for more than 100,000, without a difference, or where neither group varies.

    Example:
        >>> seeds_needed(0.01, (0.0001, 0.0001)), seeds_needed(0.0, (0.0001, 0.0001))
        (17, None)
    """
    if difference == 0.0 or sum(variances) == 0.0:
        return None
    high = 2
    while welch_power(difference, variances, (high, high), alpha) < power:
        high *= 2
        if high > MOST_SEEDS:
            return None
    low = max(high // 2, 1)
    while high - low > 1:
        middle = (low + high) // 2
        found = welch_power(difference, variances, (middle, middle), alpha) >= power
        low, high = (low, middle) if found else (middle, high)
    return high
