"""Tests of two groups of models, against brute force and their own level."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from cka_plugin.analysis.grams import cka_sums
from cka_plugin.analysis.statistics.model_groups import gap_test, within_between
from tests.calibration.groups import gap_test_size
from tests.support.planted import fresh, represent


def symmetric(rng, models):
    matrix = rng.normal(size=(models, models))
    return matrix + matrix.T


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


def test_one_architecture_is_more_alike_within_than_between() -> None:
    """CKA within against between groups of models, by permuting models."""
    rng = np.random.default_rng(19)
    cores = [fresh(rng, 256, 30) for _ in range(2)]
    groups = ["wide"] * 4 + ["deep"] * 4
    common = fresh(rng, 256, 30)
    models = [represent([common + cores[g == "deep"] + 0.5 * fresh(rng, 256, 30)]) for g in groups]
    similarity = np.array([[cka_sums(a, b).cka()[0, 0] for b in models] for a in models])
    found = within_between(similarity, groups)
    assert found.statistic > 0.1
    assert found.p == pytest.approx(2 / 70)  # the smallest that 4 against 4 can give
