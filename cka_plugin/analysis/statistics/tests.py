"""Statistics of right and wrong: exact McNemar, Tango's interval, error consistency, corrections, Welch, v².

Counts and arrays in, numbers out. A number that is undefined is NaN and comes with the reason; none is made up.
Which test answers which question: two fixed models on the same examples, `mcnemar`; two architectures with many seeds,
`welch` on per-seed accuracies; permutation tests are in `cka_plugin.analysis.statistics.permutation`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

CORRECTIONS = ("benjamini-hochberg", "holm", "none")


class Estimate(NamedTuple):
    """A number; where it is NaN, `reason` says why."""

    value: float
    reason: str = ""


def check_fraction(value: float, name: str) -> float:
    """`value` if it lies strictly between 0 and 1; a ValueError that names it otherwise."""
    if not 0.0 < value < 1.0:
        raise ValueError(
            f"{name} {value!r}: expected a number between 0 and 1, such as 0.95 for a level or 0.05 for alpha"
        )
    return float(value)


def _check_counts(only_a: int, only_b: int, n: int | None = None) -> None:
    if only_a < 0 or only_b < 0 or (n is not None and only_a + only_b > n):
        total = "" if n is None else f" of {n} examples"
        raise ValueError(f"discordant counts {only_a} and {only_b}{total}: expected counts that add up to at most all")


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
    _check_counts(only_a, only_b)
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
    _check_counts(only_a, only_b, n)
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


def correct(p: ArrayLike, method: str = "benjamini-hochberg") -> NDArray[np.float64]:
    """p values corrected for the size of their family.

    Args:
        p: (m,) p values. NaN, a test that could not be made, stays NaN but counts as a member of the family (as 1),
            so that the others are not helped by it.
        method: `benjamini-hochberg` (false discovery rate: for screening), `holm` (family-wise error: for claims) or
            `none`.

    Returns:
        (m,) corrected p values; a test is significant at alpha where its corrected p is at most alpha.

    Raises:
        ValueError: an unknown method, or values outside [0, 1].

    Source: Benjamini & Hochberg 1995; Holm 1979.

    Example:
        >>> correct([0.01, 0.02, 0.5], "holm").tolist()
        [0.03, 0.04, 0.5]
    """
    values = np.asarray(p, dtype=np.float64)
    if method not in CORRECTIONS:
        raise ValueError(f"correction {method!r}: expected one of {', '.join(CORRECTIONS)}")
    if values.ndim != 1 or np.any((values < 0) | (values > 1)):
        raise ValueError(f"p values of shape {values.shape}: expected (m,) numbers in [0, 1]")
    if method == "none" or values.size == 0:
        return values.copy()
    missing = np.isnan(values)
    family = np.where(missing, 1.0, values)
    if method == "holm":
        order = np.argsort(family, kind="stable")
        steps = np.maximum.accumulate(family[order] * np.arange(family.size, 0, -1))
        corrected = np.empty_like(family)
        corrected[order] = np.minimum(steps, 1.0)
    else:
        corrected = np.asarray(stats.false_discovery_control(family))
    corrected[missing] = math.nan
    return corrected


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


@dataclass(frozen=True)
class ClassShare:
    """How much of the example-level difference between two groups of models their classes explain.

    Attributes:
        v_squared: the share; NaN with a reason where there is nothing to explain. It is never clamped to [0, 1].
        chance: what classes of these sizes would explain on average if examples were dealt to them at random.
        variances: residual variances of the nested models A, B and C.
        degrees_of_freedom: theirs.
        reason: why `v_squared` is NaN; empty where it is not.
    """

    v_squared: float
    chance: float
    variances: tuple[float, float, float]
    degrees_of_freedom: tuple[int, int, int]
    reason: str = ""


def class_share(right_a: ArrayLike, right_b: ArrayLike, classes: ArrayLike) -> ClassShare:
    """v² = (Var_A - Var_B) / (Var_A - Var_C) of three nested linear models of correctness.

    A: example + group; B: example + group x class; C: example x group. Each Var is the residual sum of squares over the
    residual degrees of freedom: raw sums would count the seeds' noise as example-level difference. Every model sees
    every example, so least squares needs no solver: with d_i the gap between the groups' accuracies on example i,
    RSS_A = RSS_C + w Σ (d_i - mean d)² and RSS_B = RSS_C + w Σ (d_i - mean of its class)², w = m_a m_b / (m_a + m_b).

    It is an estimate only where the groups differ example by example beyond seed noise: gate it with
    `cka_plugin.analysis.statistics.permutation.gap_test`, as `compare_groups` does. On made data with 5 against 5
    seeds it finds 0.25 where the truth is 0.24 and raw sums give 0.07 (`python -m tests.calibration.groups`).

    Args:
        right_a: (models, n) correctness of group a.
        right_b: (models, n) of group b.
        classes: (n,) the class of each example.

    Raises:
        ValueError: shapes that do not fit, or fewer than three models in all.

    Source: 2010.15327, appendix F.3.

    Example:
        >>> a = np.array([[1, 1, 0, 0], [1, 1, 0, 1], [1, 1, 0, 0]])
        >>> b = np.array([[0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 1, 1]])
        >>> round(class_share(a, b, [0, 0, 1, 1]).v_squared, 2)
        0.96
    """
    a, b = np.asarray(right_a, dtype=np.float64), np.asarray(right_b, dtype=np.float64)
    groups = np.unique(np.asarray(classes), return_inverse=True)[1]
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or groups.shape != (a.shape[1],) or len(a) + len(b) < 3:
        raise ValueError(
            f"correctness of shapes {a.shape} and {b.shape} with classes of shape {groups.shape}: "
            "expected (models, n) twice, at least three models in all, and (n,)"
        )
    models, n = len(a) + len(b), a.shape[1]
    sizes = np.bincount(groups)
    gap = a.mean(axis=0) - b.mean(axis=0)
    class_gap = np.bincount(groups, weights=gap) / sizes
    weight = len(a) * len(b) / models
    total = weight * float(np.sum((gap - gap.mean()) ** 2))
    within_classes = weight * float(np.sum((gap - class_gap[groups]) ** 2))
    noise = float(np.sum((a - a.mean(axis=0)) ** 2) + np.sum((b - b.mean(axis=0)) ** 2))
    df = (models * n - n - 1, models * n - n - len(sizes), models * n - 2 * n)

    def share(within: float) -> tuple[float, tuple[float, float, float]]:
        variances = ((noise + total) / df[0], (noise + within) / df[1], noise / df[2])
        explained, all_of_it = variances[0] - variances[1], variances[0] - variances[2]
        return (explained / all_of_it if all_of_it > 0 else math.nan), variances

    v_squared, variances = share(within_classes)
    # Dealt at random, n examples leave (n - classes) / (n - 1) of their sum of squares within classes, on average.
    chance, _ = share(total * (n - len(sizes)) / max(n - 1, 1))
    reason = ""
    if math.isnan(v_squared):
        reason = "the groups differ on single examples by no more than seeds of one group do: nothing to explain"
    return ClassShare(v_squared, chance, variances, df, reason)
