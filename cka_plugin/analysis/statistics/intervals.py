"""Tango's score interval for the difference of two accuracies on the same examples."""

from __future__ import annotations

import math

from scipy import optimize, stats

from cka_plugin.analysis.statistics.paired import check_counts


def tango_interval(only_a: int, only_b: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Tango's score interval for the paired difference of two proportions, (only_a - only_b) / n.

    The limits are the differences Δ at which the score test |only_a - only_b - nΔ| / sqrt(n (2q + Δ(1 - Δ))) reaches
    the normal quantile z, q being the most likely share of `only_b` given Δ.

    How often it holds the truth at a level of 0.95 (exact, `python -m tests.calibration.tango_interval`): 0.933 to
    0.978 of the time with 10 or more expected discordant pairs; at least 0.927 with fewer, and 0.914 at the worst, with
    nearly all of 10 examples discordant. (Wald's falls to 0.05 where next to no pair is.)

    Args:
        only_a: examples that a alone gets right.
        only_b: examples that b alone gets right.
        n: all examples, the concordant ones too.
        level: confidence level.

    Returns:
        (low, high), within [-1, 1] and around the observed difference; (NaN, NaN) where n is 0.

    Raises:
        ValueError: counts that do not fit, or a level outside (0, 1).

    Source: Tango 1998, Statistics in Medicine 17, 891-908.

    Example:
        >>> low, high = tango_interval(6, 16, 161)
        >>> round(low, 4), round(high, 4)
        (-0.124, -0.0054)
    """
    check_counts(only_a, only_b, n)
    z = float(stats.norm.isf((1.0 - check_fraction(level, "level")) / 2.0))
    if n == 0:
        return math.nan, math.nan
    # Where all pairs, or none, are discordant in one direction, the variance vanishes at the estimate itself, which
    # is then a second root of the score equation; the one wanted has a closed form.
    if only_a == only_b == 0:
        reach = z**2 / (n + z**2)
        return -reach, reach
    if only_a == n:
        return (n - z**2) / (n + z**2), 1.0
    if only_b == n:
        return -1.0, (z**2 - n) / (n + z**2)

    def excess(delta: float, side: float) -> float:
        spread = n * (2 * _restricted_share(only_a, only_b, n, delta) + delta * (1 - delta))
        return side * (only_a - only_b - n * delta) - z * math.sqrt(max(spread, 0.0))

    estimate = (only_a - only_b) / n
    low = optimize.brentq(excess, -1.0, estimate, args=(1.0,), xtol=1e-15)
    high = optimize.brentq(excess, estimate, 1.0, args=(-1.0,), xtol=1e-15)
    return float(low), float(high)


def _restricted_share(only_a: int, only_b: int, n: int, delta: float) -> float:
    """Most likely share of pairs that b alone gets right, given the difference: a root of 2n q² + s q + t = 0."""
    s = (2 * n - only_a + only_b) * delta - only_a - only_b
    t = -only_b * delta * (1 - delta)
    root = math.sqrt(max(s * s - 8 * n * t, 0.0))
    return (root - s) / (4 * n) if s <= 0 else -2 * t / (s + root)  # either way without cancellation


def check_fraction(value: float, name: str) -> float:
    """`value` if it lies strictly between 0 and 1; a ValueError that names it otherwise."""
    if not 0.0 < value < 1.0:
        raise ValueError(
            f"{name} {value!r}: expected a number between 0 and 1, such as 0.95 for a level or 0.05 for alpha"
        )
    return float(value)
