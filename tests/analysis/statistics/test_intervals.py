"""Tango's interval, against published figures, the score test itself and its quartic."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cka_plugin.analysis.statistics.intervals import tango_interval
from tests.calibration.tango_interval import coverage, wald

counts = st.integers(0, 40)


@st.composite
def paired_tables(draw: st.DrawFn) -> tuple[int, int, int]:
    only_a, only_b = draw(counts), draw(counts)
    return only_a, only_b, only_a + only_b + draw(counts)


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
