"""Permutation tests of models, against enumeration by brute force and on made data of known truth."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from cka_plugin.analysis.statistics.mantel import mantel
from cka_plugin.analysis.statistics.model_groups import gap_test, within_between
from cka_plugin.analysis.statistics.permutation import group_splits, smallest_split_p
from tests.calibration.groups import gap_test_size, related_by_chance


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


@pytest.mark.parametrize(
    ("n_a", "n_b", "smallest"), [(3, 3, 0.1), (2, 3, 0.1), (4, 4, 2 / 70), (5, 5, 2 / 252), (1, 1, 1.0)]
)
def test_smallest_p_is_stated_and_reached(n_a, n_b, smallest):
    assert smallest_split_p(n_a, n_b) == pytest.approx(smallest)
    a, b = np.tile([1.0, 0.0], (n_a, 1)), np.tile([0.0, 1.0], (n_b, 1))
    assert gap_test(a, b).p == pytest.approx(smallest)


def test_splits_are_all_there_are_or_drawn_without_bias():
    splits, exact = group_splits(2, 4)
    assert exact
    assert len({tuple(row) for row in splits.tolist()}) == 15
    drawn, exact = group_splits(10, 15, most=4000, seed=1)
    assert not exact
    assert (drawn.sum(axis=1) == 10).all()
    assert drawn.mean(axis=0) == pytest.approx(0.4, abs=0.04)


@pytest.mark.parametrize("centred", [False, True])
def test_gap_test_equals_brute_force(centred):
    rng = np.random.default_rng(7)
    a, b = rng.random((3, 25)) < 0.7, rng.random((4, 25)) < 0.5
    values = np.concatenate([a, b]).astype(float)

    def rms(of_a):
        of_b = [i for i in range(7) if i not in of_a]
        gap = values[list(of_a)].mean(axis=0) - values[of_b].mean(axis=0)
        return np.sqrt(np.mean((gap - gap.mean() * centred) ** 2))

    null = np.array([rms(of_a) for of_a in itertools.combinations(range(7), 3)])
    test = gap_test(a, b, centred=centred)
    assert test.statistic == pytest.approx(rms((0, 1, 2)), rel=1e-12)
    assert test.p == pytest.approx(np.mean(null >= null[0] - 1e-12))


def test_gap_test_keeps_its_level():
    rng = np.random.default_rng(8)
    assert np.mean([gap_test_size(rng, 5) for _ in range(300)]) < 0.085


def test_a_difference_in_overall_accuracy_alone_is_none_for_the_centred_test():
    rng = np.random.default_rng(9)
    a, b = rng.random((6, 3000)) < 0.8, rng.random((6, 3000)) < 0.6
    assert gap_test(a, b).p < 0.01
    assert gap_test(a, b, centred=True).p > 0.05


def test_within_between_equals_brute_force():
    rng = np.random.default_rng(10)
    matrix = symmetric(rng, 7)
    groups = ["w", "d", "w", "w", "d", "d", "d"]

    def contrast(of_w):
        same = [(i in of_w) == (j in of_w) for i, j in itertools.combinations(range(7), 2)]
        pairs = matrix[np.triu_indices(7, 1)]
        return pairs[same].mean() - pairs[~np.array(same)].mean()

    null = np.array([contrast(of_w) for of_w in itertools.combinations(range(7), 3)])
    observed = contrast((0, 2, 3))
    test = within_between(matrix, groups)
    assert test.statistic == pytest.approx(observed, abs=1e-12)
    assert test.p == pytest.approx(np.mean(null >= observed - 1e-12))
    two_sided = within_between(matrix, groups, alternative="two-sided")
    assert two_sided.p == pytest.approx(np.mean(np.abs(null) >= abs(observed) - 1e-12))


def test_within_between_needs_two_groups_of_two():
    with pytest.raises(ValueError, match=r"\{'a': 3, 'b': 1\}: expected .* two groups of at least two models"):
        within_between(np.eye(4), ["a", "a", "a", "b"])
    assert "not defined" in within_between(np.full((4, 4), math.nan), list("aabb")).reason
