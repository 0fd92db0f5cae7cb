"""McNemar's exact test and kappa of correctness, against scipy, statsmodels, scikit-learn and published figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.inter_rater import cohens_kappa

from cka_plugin.analysis.statistics.intervals import tango_interval
from cka_plugin.analysis.statistics.paired import error_consistency, mcnemar, smallest_mcnemar_p

counts = st.integers(0, 40)


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
