"""Statistics of errors, against scipy, statsmodels, published figures and references written another way."""

from __future__ import annotations

import math
import warnings

import mpmath
import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from cka_plugin.analysis.statistics.class_share import class_share
from cka_plugin.analysis.statistics.corrections import CORRECTIONS, correct
from cka_plugin.analysis.statistics.intervals import tango_interval
from cka_plugin.analysis.statistics.paired import error_consistency, mcnemar, smallest_mcnemar_p
from cka_plugin.analysis.statistics.welch import welch
from tests.calibration.groups import planted_gaps, seeds, true_share, v_squared
from tests.calibration.tango_interval import coverage, wald

counts = st.integers(0, 40)


@st.composite
def paired_tables(draw: st.DrawFn) -> tuple[int, int, int]:
    only_a, only_b = draw(counts), draw(counts)
    return only_a, only_b, only_a + only_b + draw(counts)


# McNemar


def test_mcnemar_equals_the_published_example():
    # Cavo et al. 2012 in Fagerland, Lydersen & Laake, Statistical Analysis of Contingency Tables, chapter 8
    assert mcnemar(6, 16) == pytest.approx(0.052479, abs=5e-7)


@settings(deadline=None)
@given(only_a=counts, only_b=counts)
def test_mcnemar_equals_statsmodels_and_scipy(only_a, only_b):
    p = mcnemar(only_a, only_b)
    assert p == pytest.approx(statsmodels_mcnemar([[3, only_a], [only_b, 5]], exact=True).pvalue, abs=1e-9)
    if only_a + only_b:
        assert p == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue, abs=1e-9)


def test_no_discordant_pair_gives_p_1():
    assert mcnemar(0, 0) == 1.0


@pytest.mark.parametrize("n", [0, 1, 2, 5, 6, 50])
def test_smallest_mcnemar_p_is_that_of_all_examples_discordant_in_one_direction(n):
    assert smallest_mcnemar_p(n) == pytest.approx(mcnemar(n, 0), rel=1e-12)


def test_negative_counts_are_an_error():
    with pytest.raises(ValueError, match="discordant counts -1 and 2"):
        mcnemar(-1, 2)
    with pytest.raises(ValueError, match="5 and 6 of 10 examples"):
        tango_interval(5, 6, 10)


# Tango's interval


@pytest.mark.parametrize(
    ("only_a", "only_b", "n", "low", "high"),
    [
        (6, 16, 161, -0.1240, -0.0054),  # Cavo et al. 2012; R package contingencytables, chapter 8
        (1, 7, 21, -0.517, -0.026),  # Bentur et al. 2009; Fagerland, Lydersen & Laake 2014
    ],
)
def test_tango_equals_the_published_examples(only_a, only_b, n, low, high):
    digits = 4 if n == 161 else 3
    assert [round(limit, digits) for limit in tango_interval(only_a, only_b, n)] == [low, high]


def score_test(only_a, only_b, n, delta):
    """Tango's statistic with the nuisance share found by maximising the likelihood, not by formula."""
    delta = mpmath.mpf(delta)

    def slope(q):  # of the log-likelihood of (only_a, only_b, rest) at shares (q + delta, q, 1 - 2q - delta)
        return only_a / (q + delta) + only_b / q - 2 * (n - only_a - only_b) / (1 - 2 * q - delta)

    floor, ceiling = max(mpmath.mpf(0), -delta), (1 - delta) / 2
    tiny = mpmath.mpf(10) ** -30
    q = mpmath.findroot(slope, (floor + tiny, ceiling - tiny), solver="anderson", tol=1e-25, verify=False)
    return (only_a - only_b - n * delta) / mpmath.sqrt(n * (2 * q + delta * (1 - delta)))


@pytest.mark.parametrize(
    ("only_a", "only_b", "n"), [(3, 1, 10), (12, 5, 60), (1, 1, 7), (2, 9, 11 + 1), (40, 45, 2000)]
)
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_tango_limits_are_where_the_score_test_reaches_z(only_a, only_b, n, level):
    z = stats.norm.isf((1 - level) / 2)
    with mpmath.workdps(40):
        low, high = tango_interval(only_a, only_b, n, level)
        assert float(score_test(only_a, only_b, n, low)) == pytest.approx(z, abs=1e-9)
        assert float(score_test(only_a, only_b, n, high)) == pytest.approx(-z, abs=1e-9)


@settings(deadline=None)
@given(table=paired_tables())
def test_tango_limits_are_roots_of_the_quartic(table):
    """Another way to the same limits: z² Var = (observed - Δ)² with the square root moved aside is a quartic in Δ."""
    only_a, only_b, n = table
    if n == 0:
        return
    z2 = stats.norm.isf(0.025) ** 2
    delta = np.polynomial.Polynomial([0, 1])
    s = (2 * n - only_a + only_b) * delta - only_a - only_b
    t = -only_b * delta * (1 - delta)
    gap = (only_a - only_b - n * delta) ** 2 - z2 * n * delta * (1 - delta)  # = z² n 2q
    four_nq = 2 * gap / z2
    quartic = (four_nq + s) ** 2 - (s**2 - 8 * n * t)
    roots = quartic.roots()
    scale = max(abs(quartic.coef))
    for limit in tango_interval(only_a, only_b, n):
        # multiple roots come out of the eigenvalues less sharply than the polynomial vanishes
        assert np.min(np.abs(roots - limit)) < 1e-6 or abs(quartic(limit)) < 1e-9 * scale


@settings(deadline=None)
@given(table=paired_tables(), level=st.floats(0.5, 0.999))
def test_tango_holds_the_estimate_mirrors_and_widens_with_the_level(table, level):
    only_a, only_b, n = table
    if n == 0:
        assert all(math.isnan(limit) for limit in tango_interval(*table, level=level))
        return
    low, high = tango_interval(only_a, only_b, n, level)
    assert -1 <= low <= (only_a - only_b) / n <= high <= 1
    mirrored = tango_interval(only_b, only_a, n, level)
    assert (low, high) == pytest.approx((-mirrored[1], -mirrored[0]), abs=1e-9)
    wider = tango_interval(only_a, only_b, n, level + (1 - level) / 2)
    assert wider[0] <= low + 1e-12
    assert wider[1] >= high - 1e-12


@pytest.mark.parametrize("n", [1, 3, 10, 1000])
def test_tango_edge_cases_have_their_closed_forms(n):
    z2 = stats.norm.isf(0.025) ** 2
    assert tango_interval(0, 0, n) == pytest.approx((-z2 / (n + z2), z2 / (n + z2)))
    assert tango_interval(n, 0, n) == pytest.approx(((n - z2) / (n + z2), 1.0))
    assert tango_interval(0, n, n) == pytest.approx((-1.0, (z2 - n) / (n + z2)))


def test_tango_edge_cases_continue_their_neighbours():
    """The closed forms are limits of the general case: one concordant pair in a million changes next to nothing."""
    n = 1_000_000
    assert tango_interval(n, 0, n)[0] == pytest.approx(tango_interval(n - 1, 0, n)[0], abs=1e-5)
    assert tango_interval(0, 0, n)[1] == pytest.approx(tango_interval(1, 0, n)[1], abs=3e-6)


def test_tango_coverage_is_as_documented():
    """A few cells of `python -m tests.calibration.tango_interval`, exact."""
    for n, expected, leaning in ((20, 10, 0.4), (50, 12, 0.0), (100, 15, 0.8), (100, 20, 0.4)):
        assert 0.93 <= coverage(n, expected / n, leaning * expected / n) <= 0.98
    for n, expected, leaning in ((10, 0.5, 0.0), (10, 2, 0.6), (50, 5, 0.4), (100, 6.5, 0.6), (10, 5, 1.0)):
        assert coverage(n, expected / n, leaning * expected / n) >= 0.927
    assert coverage(10, 0.95, 0.95) == pytest.approx(0.914, abs=5e-4)  # the worst of the grid
    assert coverage(10, 0.05, 0.03, wald) < 0.5  # what is in use elsewhere


# Error consistency


@settings(deadline=None)
@given(right=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_error_consistency_is_cohens_kappa_of_correctness(right):
    a, b = (np.array(side) for side in zip(*right, strict=True))
    kappa = error_consistency(a, b)
    if a.all() == b.all() and a.any() == b.any() and (a.all() or not a.any()):
        assert math.isnan(kappa.value)
        assert ("right" if a.all() else "wrong") in kappa.reason
    else:
        assert kappa.reason == ""
        assert kappa.value == pytest.approx(cohen_kappa_score(a, b), abs=1e-9)
        assert kappa.value == pytest.approx(error_consistency(b, a).value, abs=1e-12)


def test_error_consistency_equals_statsmodels_and_the_formula_of_geirhos():
    rng = np.random.default_rng(0)
    a, b = rng.random(300) < 0.8, rng.random(300) < 0.6
    table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
    expected = a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    assert error_consistency(a, b).value == pytest.approx(cohens_kappa(table).kappa, abs=1e-12)
    assert error_consistency(a, b).value == pytest.approx(((a == b).mean() - expected) / (1 - expected), abs=1e-12)


def test_error_consistency_of_unequal_lengths_is_an_error():
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        error_consistency([1, 0], [1, 0, 1])


# Corrections


@pytest.mark.parametrize(("method", "reference"), [("holm", "holm"), ("benjamini-hochberg", "fdr_bh")])
@pytest.mark.parametrize("size", [1, 2, 3, 10, 1000])
def test_corrections_equal_statsmodels(method, reference, size):
    rng = np.random.default_rng(size)
    for spread in (1, 3, 10):
        p = rng.random(size) ** spread
        p = np.where(rng.random(size) < 0.3, np.round(p, 1), p)  # with ties, zeros and ones
        reject, expected, *_ = multipletests(p, alpha=0.05, method=reference)
        assert correct(p, method) == pytest.approx(expected, abs=1e-9)
        assert ((correct(p, method) <= 0.05) == reject).all()
        assert correct(p, "none").tolist() == p.tolist()


@pytest.mark.parametrize("method", CORRECTIONS)
def test_an_undefined_p_stays_undefined_and_stays_in_the_family(method):
    with_nan, with_one = correct([0.01, math.nan, 0.02], method), correct([0.01, 1.0, 0.02], method)
    assert math.isnan(with_nan[1])
    assert with_nan[[0, 2]].tolist() == with_one[[0, 2]].tolist()


def test_bad_p_values_and_unknown_corrections_are_errors():
    with pytest.raises(ValueError, match="'bonferroni': expected one of benjamini-hochberg, holm, none"):
        correct([0.1], "bonferroni")
    with pytest.raises(ValueError, match="numbers in"):
        correct([1.2])


# Welch


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


# The share that classes explain


def test_nested_models_have_the_residual_variances_of_explicit_least_squares():
    rng = np.random.default_rng(0)
    classes = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 5])
    tilt = np.where(classes == 2, 0.45, -0.2)
    a, b = rng.random((3, 10)) < 0.5 + tilt, rng.random((4, 10)) < 0.5 - tilt
    share = class_share(a, b, classes)
    y = np.concatenate([a, b]).astype(float).ravel()
    group = np.repeat([0.0] * 3 + [1.0] * 4, 10)
    example = np.tile(np.arange(10), 7)
    dummies = (example[:, None] == np.arange(10)).astype(float)
    by_class = (classes[example][:, None] == np.unique(classes)).astype(float)
    designs = (
        np.column_stack([dummies, group]),
        np.column_stack([dummies, by_class * group[:, None]]),
        np.column_stack([dummies, dummies * group[:, None]]),
    )
    fits = [sm.OLS(y, design).fit() for design in designs]
    assert share.variances == pytest.approx([fit.scale for fit in fits], rel=1e-9)
    assert list(share.degrees_of_freedom) == [fit.df_resid for fit in fits]
    var_a, var_b, var_c = (fit.scale for fit in fits)
    assert share.v_squared == pytest.approx((var_a - var_b) / (var_a - var_c), rel=1e-9)


def test_v_squared_finds_the_planted_share_where_raw_sums_do_not():
    rng = np.random.default_rng(1)
    truth, estimate, raw = np.mean([v_squared(rng, 5, 0.08, 0.15) for _ in range(60)], axis=0)
    assert estimate == pytest.approx(truth, abs=0.04)
    assert raw < truth / 2


def test_v_squared_finds_the_share_of_the_paper_with_as_many_seeds():
    """2010.15327 reports 0.11 for 50 + 50 models."""
    rng = np.random.default_rng(2)
    of, gap = planted_gaps(rng, 100, 20, 0.05, 0.18)
    a, b = seeds(rng, 50, 0.5 + gap / 2), seeds(rng, 50, 0.5 - gap / 2)
    truth = true_share(of, gap)
    assert truth == pytest.approx(0.11, abs=0.03)
    assert class_share(a, b, of).v_squared == pytest.approx(truth, abs=0.02)


def test_classes_dealt_at_random_explain_what_chance_says():
    rng = np.random.default_rng(3)
    _, gap = planted_gaps(rng, 1, 200, 0.0, 0.3)
    a, b = seeds(rng, 10, 0.5 + gap / 2), seeds(rng, 10, 0.5 - gap / 2)
    classes = np.repeat(np.arange(20), 10)
    dealt = [class_share(a, b, rng.permutation(classes)).v_squared for _ in range(400)]
    chance = class_share(a, b, classes).chance
    assert np.mean(dealt) == pytest.approx(chance, abs=4 * np.std(dealt) / 20)


def test_v_squared_of_groups_that_differ_less_than_seeds_is_undefined_with_its_reason():
    a = np.array([[1, 0, 1, 0], [0, 1, 0, 1]])
    share = class_share(a, a, [0, 0, 1, 1])
    assert math.isnan(share.v_squared)
    assert "nothing to explain" in share.reason


def test_class_share_of_unfit_shapes_is_an_error():
    with pytest.raises(ValueError, match="expected \\(models, n\\) twice"):
        class_share(np.ones((2, 3)), np.ones((2, 4)), [0, 0, 1])
