"""Figures that go together over models: scipy's rank correlation, an exact p, and what few models cannot show."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from cka_plugin.analysis.families.relation import relate


@pytest.mark.parametrize("seed", range(4))
def test_p_is_that_of_all_permutations_counted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=6), rng.normal(size=6)
    found = relate(x, y)
    observed = stats.spearmanr(x, y).statistic
    null = [stats.spearmanr(x, y[list(order)]).statistic for order in itertools.permutations(range(6))]
    assert found.correlation == pytest.approx(observed)
    assert found.p == pytest.approx(np.mean(np.abs(null) >= abs(observed) - 1e-9), abs=1e-9)
    assert found.smallest_p == pytest.approx(2 / math.factorial(6))


def test_five_models_show_only_what_is_perfect_and_say_so() -> None:
    found = relate([1, 2, 3, 4, 5], [1, 3, 2, 4, 5], ("width", "share"))
    assert found.needed == pytest.approx(1.0)
    assert found.verdict == "inconclusive"
    assert "give more models" in repr(found)
    assert relate([1, 2, 3, 4, 5], [2, 4, 6, 8, 10]).verdict == "related"


def test_ten_unrelated_models_are_not_shown_to_be_related() -> None:
    found = relate(range(10), [3, 8, 1, 6, 4, 9, 2, 7, 0, 5])
    assert found.verdict == "not shown"
    assert found.needed < 0.7


def test_the_same_for_all_has_no_correlation() -> None:
    found = relate([1, 1, 1, 1], [1, 2, 3, 4], ("depth", "share"))
    assert math.isnan(found.correlation)
    assert "the same for all" in repr(found)
    assert relate([1, math.nan, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, math.nan]).n == 5


def test_the_test_rejects_about_as_often_as_it_says_where_nothing_is_related() -> None:
    rng = np.random.default_rng(0)
    rejected = np.mean([relate(rng.normal(size=7), rng.normal(size=7)).p <= 0.05 for _ in range(150)])
    assert rejected <= 0.1
