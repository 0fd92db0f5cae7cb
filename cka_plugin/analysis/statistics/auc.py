"""The area under the ROC curve: how well a score tells two groups of examples apart, with DeLong's interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from cka_plugin.analysis.statistics.intervals import check_fraction


@dataclass(frozen=True)
class Auc:
    """The area under the ROC curve of a score.

    Attributes:
        value: the chance that an example of the group scores higher than one outside it; 0.5 where the score says
            nothing. NaN where one of the two is empty.
        low: lower end of its interval.
        high: upper end.
        n_group: examples in the group.
        n_rest: examples outside it.
    """

    value: float
    low: float
    high: float
    n_group: int
    n_rest: int


def auc(score: ArrayLike, group: ArrayLike, level: float = 0.95) -> Auc:
    """How well a score tells the examples of a group from the rest.

    The interval is that of the logit, which keeps it within (0, 1).

    Args:
        score: (n,) finite numbers.
        group: (n,) booleans.
        level: of the interval.

    Returns:
        The area; the interval is NaN where it cannot be had: fewer than 2 examples in the group or outside it, or
        a group that is told apart without a fault.

    Raises:
        ValueError: scores that are not finite, another number of them than of group members, a level outside (0, 1).

    Source: DeLong, DeLong & Clarke-Pearson 1988.

    Example:
        >>> found = auc([0.1, 0.4, 0.35, 0.8, 0.7, 0.2], [False, False, True, True, True, False])
        >>> round(found.value, 3), found.n_group
        (0.889, 3)
    """
    values, inside = np.asarray(score, dtype=np.float64), np.asarray(group, dtype=bool)
    if values.ndim != 1 or values.shape != inside.shape:
        raise ValueError(f"scores of shape {values.shape} and a group of shape {inside.shape}: expected (n,) of each")
    if not np.isfinite(values).all():
        raise ValueError("a score is not finite: leave such examples out")
    z = float(stats.norm.isf((1.0 - check_fraction(level, "level")) / 2.0))
    ours, others = values[inside], values[~inside]
    m, k = ours.size, others.size
    if m == 0 or k == 0:
        return Auc(math.nan, math.nan, math.nan, m, k)
    ranks = stats.rankdata(values)
    # How many outside an example of the group exceeds, as a share; and how many of the group exceed one outside.
    exceeds = (ranks[inside] - stats.rankdata(ours)) / k
    exceeded = 1.0 - (ranks[~inside] - stats.rankdata(others)) / m
    value = float(exceeds.mean())
    if min(m, k) < 2 or value in (0.0, 1.0):
        return Auc(value, math.nan, math.nan, m, k)
    spread = math.sqrt(exceeds.var(ddof=1) / m + exceeded.var(ddof=1) / k) / (value * (1.0 - value))
    logit = math.log(value / (1.0 - value))
    low, high = (1.0 / (1.0 + math.exp(-(logit + side * z * spread))) for side in (-1.0, 1.0))
    return Auc(value, low, high, m, k)
