"""Welch's test, against scipy, statsmodels and published figures."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from cka_plugin.analysis.statistics.welch import welch


@pytest.mark.parametrize(("seeds_a", "seeds_b"), [(2, 2), (3, 3), (5, 8), (50, 50)])
def test_welch_equals_scipy_and_statsmodels(seeds_a, seeds_b):
    rng = np.random.default_rng(seeds_a)
    a, b = rng.normal(0.8, 0.01, (seeds_a, 30)), rng.normal(0.79, 0.03, (seeds_b, 30))
    ours = welch(a, b, level=0.9)
    theirs = stats.ttest_ind(a, b, equal_var=False)
    interval = theirs.confidence_interval(0.9)
    for mine, reference in ((ours.t, theirs.statistic), (ours.p, theirs.pvalue), (ours.df, theirs.df)):
        assert mine == pytest.approx(reference, rel=1e-9)
    assert ours.low == pytest.approx(interval.low, abs=1e-9)
    assert ours.high == pytest.approx(interval.high, abs=1e-9)
    t, p, df = CompareMeans(DescrStatsW(a[:, 0]), DescrStatsW(b[:, 0])).ttest_ind(usevar="unequal")
    assert (ours.t[0], ours.p[0], ours.df[0]) == pytest.approx((t, p, df), rel=1e-9)


@pytest.mark.parametrize(("level_a", "level_b"), [(0.1, 0.1), (0.1, 0.7), (1.0, 0.0)])
def test_welch_without_any_variance_is_undefined_whatever_the_rounding(level_a, level_b):
    result = welch([level_a] * 3, [level_b] * 7)
    assert result.difference == pytest.approx(level_a - level_b)
    assert all(math.isnan(float(value)) for value in (result.t, result.df, result.p, result.low, result.high))


def test_welch_with_one_constant_group_uses_the_other_groups_degrees_of_freedom():
    result = welch([0.1] * 3, [0.2, 0.3, 0.4, 0.45])
    assert result.df == pytest.approx(3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of the constant group
        reference = stats.ttest_ind([0.1] * 3, [0.2, 0.3, 0.4, 0.45], equal_var=False)
    assert result.p == pytest.approx(reference.pvalue, rel=1e-9)


def test_welch_of_a_single_seed_is_an_error():
    with pytest.raises(ValueError, match="at least 2 seeds each"):
        welch([0.9], [0.8, 0.7])


def test_welch_gives_the_p_values_published_for_super_classes():
    """2010.15327: 50 + 50 models; 74.9 against 74.6%, p = 6e-5, and 72.4 against 72.1%, p = 0.001.

    The paper gives no spread; the one that its first p implies must, by the same formula, be near that of the second.
    """

    def p_at(spread: float, difference: float = 0.003) -> float:
        seeds_ = spread * np.sqrt(49 / 50) * stats.zscore(stats.norm.ppf((np.arange(50) + 0.5) / 50), ddof=1)
        return float(welch(difference + seeds_, seeds_).p)

    spreads = [optimize.brentq(lambda s, p=p: p_at(s) - p, 1e-3, 1e-2, xtol=1e-12) for p in (6e-5, 1e-3)]
    assert [round(100 * spread, 2) for spread in spreads] == [0.36, 0.45]
    assert spreads[1] / spreads[0] < 1.3  # sampling error of such small sets of classes (68 and 62)
