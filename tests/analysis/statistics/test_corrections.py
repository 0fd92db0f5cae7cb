"""p values corrected for their family, against statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from cka_plugin.analysis.statistics.corrections import CORRECTIONS, correct


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
