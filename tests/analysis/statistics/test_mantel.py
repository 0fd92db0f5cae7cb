"""Mantel's test, against a correlation over pairs, all orders of few models, and its own level."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from cka_plugin.analysis.statistics.mantel import mantel
from tests.calibration.groups import related_by_chance


def symmetric(rng, models):
    matrix = rng.normal(size=(models, models))
    return matrix + matrix.T


def test_mantel_statistic_is_the_correlation_over_pairs():
    rng = np.random.default_rng(0)
    x, y = symmetric(rng, 9), symmetric(rng, 9)
    upper = np.triu_indices(9, 1)
    assert mantel(x, y, permutations=9).statistic == pytest.approx(stats.pearsonr(x[upper], y[upper])[0], abs=1e-12)
    rank = mantel(x, y, ranks=True, permutations=9).statistic
    assert rank == pytest.approx(stats.spearmanr(x[upper], y[upper])[0], abs=1e-12)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_mantel_enumerates_all_orders_of_few_models(alternative):
    rng = np.random.default_rng(1)
    x, y = symmetric(rng, 5), symmetric(rng, 5)
    upper = np.triu_indices(5, 1)
    null = [np.corrcoef(x[upper], y[np.ix_(o, o)][upper])[0, 1] for o in itertools.permutations(range(5))]
    size = {"two-sided": np.abs, "greater": np.asarray, "less": np.negative}[alternative]
    test = mantel(x, y, alternative=alternative)
    assert test.exact
    assert test.relabellings == 120
    assert test.p == pytest.approx(np.mean(size(np.array(null)) >= size(np.array(null[0])) - 1e-12))
    assert test.smallest_p == pytest.approx(1 / 120)


def test_mantel_ignores_the_diagonal_and_is_reproducible():
    rng = np.random.default_rng(2)
    x, y = symmetric(rng, 12), symmetric(rng, 12)
    plain = mantel(x, y, permutations=499, seed=3)
    assert not plain.exact
    assert plain == mantel(x + np.diag(rng.normal(size=12)), y, permutations=499, seed=3)
    assert plain.p != mantel(x, y, permutations=499, seed=4).p
    assert plain.smallest_p == pytest.approx(1 / 500)


def test_mantel_keeps_its_level_where_a_plain_correlation_does_not():
    rng = np.random.default_rng(4)
    mantels, plain = np.mean([related_by_chance(rng) for _ in range(300)], axis=0)
    assert mantels < 0.09
    assert plain > 0.1


def test_mantel_finds_a_relation():
    rng = np.random.default_rng(5)
    place = rng.normal(size=(10, 2))
    distance = np.linalg.norm(place[:, None] - place, axis=-1)
    noise = symmetric(rng, 10) * 0.05
    assert mantel(distance, distance + noise, permutations=999).p == pytest.approx(0.001)


def test_mantel_says_why_it_is_undefined():
    rng = np.random.default_rng(6)
    x = symmetric(rng, 4)
    hole = x.copy()
    hole[1, 2] = hole[2, 1] = math.nan
    for test, reason in (
        (mantel(x[:2, :2], x[:2, :2]), "at least 3 models; given 2"),
        (mantel(x, hole), r"y is not defined for all pairs of models (rows [1, 2])"),
        (mantel(np.ones((4, 4)), x), "all pairs of x are equal"),
    ):
        assert math.isnan(test.p)
        assert reason in test.reason


def test_mantel_refuses_unfit_matrices():
    with pytest.raises(ValueError, match="not symmetric"):
        mantel(np.arange(9.0).reshape(3, 3), np.eye(3))
    with pytest.raises(ValueError, match="the same models in both"):
        mantel(np.eye(3), np.eye(4))
    with pytest.raises(ValueError, match="expected one of two-sided"):
        mantel(np.eye(3), np.eye(3), alternative="larger")
