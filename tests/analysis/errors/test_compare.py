"""Errors of two models: the figures, the class table, the disagreements, and what is refused."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, cohen_kappa_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from cka_plugin.analysis.errors.compare import compare_errors
from cka_plugin.analysis.statistics.intervals import tango_interval
from tests.support.predictions import random_predictions


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=60))
def test_every_figure_equals_its_definition(rows):
    a, b, labels = (np.array(column) for column in zip(*rows, strict=True))
    errors = compare_errors(a, b, labels, ["w", "x", "y", "z"])
    right_a, right_b = a == labels, b == labels
    both_wrong = ~right_a & ~right_b
    only_a, only_b = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
    assert errors.accuracy_a == pytest.approx(accuracy_score(labels, a), abs=1e-12)
    assert errors.accuracy_b == pytest.approx(accuracy_score(labels, b), abs=1e-12)
    assert errors.difference == pytest.approx(errors.accuracy_a - errors.accuracy_b, abs=1e-12)
    assert errors.interval == tango_interval(only_a, only_b, len(labels))
    assert errors.agreement == pytest.approx(np.mean(a == b), abs=1e-12)
    assert errors.mcnemar_p == pytest.approx(mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue, abs=1e-9)
    assert errors.churn >= abs(errors.difference) - 1e-12
    if both_wrong.any():
        assert errors.agreement_when_wrong == pytest.approx(np.mean(a[both_wrong] == b[both_wrong]), abs=1e-12)
    else:
        assert math.isnan(errors.agreement_when_wrong)
        assert errors.reasons["agreement_when_wrong"] == "no example is wrong in both"
    if len(np.unique(np.concatenate([right_a, right_b]))) == 1:
        assert math.isnan(errors.kappa)
        assert "on every example" in errors.reasons["kappa"]
    else:
        assert errors.kappa == pytest.approx(cohen_kappa_score(right_a, right_b), abs=1e-9)


@pytest.mark.parametrize("correction", ["benjamini-hochberg", "holm", "none"])
def test_the_class_table_equals_scipy_and_statsmodels(correction):
    rng = np.random.default_rng(0)
    a, b, labels = random_predictions(rng)
    a[labels == 1] = 1  # all right
    b[labels == 1] = 0  # all wrong
    lone = labels == 4
    labels[lone] = 0
    labels[7] = 4  # one example
    errors = compare_errors(a, b, labels, [*"uvwxyz"], correction=correction)
    assert [row.name for row in errors.classes] == [*"uvwxyz"]
    assert [row.n for row in errors.classes] == np.bincount(labels, minlength=6).tolist()
    p = []
    for index, row in enumerate(errors.classes):
        own = labels == index
        only_a, only_b = (
            int(np.sum((a == labels) & (b != labels) & own)),
            int(np.sum((b == labels) & (a != labels) & own)),
        )
        p.append(stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0)
        if own.any():
            assert row.accuracy_a == pytest.approx(accuracy_score(labels[own], a[own]), abs=1e-12)
            assert row.accuracy_b == pytest.approx(accuracy_score(labels[own], b[own]), abs=1e-12)
            assert row.difference == pytest.approx(row.accuracy_a - row.accuracy_b, abs=1e-12)
            assert (row.low, row.high) == tango_interval(only_a, only_b, int(own.sum()))
            assert row.low <= row.difference <= row.high
        else:
            assert all(math.isnan(x) for x in (row.accuracy_a, row.accuracy_b, row.difference, row.low, row.high))
    assert [row.p for row in errors.classes] == pytest.approx(p, abs=1e-9)
    method = {"benjamini-hochberg": "fdr_bh", "holm": "holm"}.get(correction)
    expected = multipletests(p, method=method)[1] if method else p
    assert [row.p_corrected for row in errors.classes] == pytest.approx(expected, abs=1e-9)
    assert [row.significant for row in errors.classes] == [bool(x <= 0.05) for x in expected]
    assert errors.classes[1].difference == 1.0
    assert errors.classes[1].significant
    assert errors.reasons["classes"] == "no example of 1 class, such as 'z'"


def test_differences_are_a_minus_b_throughout():
    labels = np.arange(40) % 2
    errors = compare_errors(labels, 1 - labels, labels)
    assert errors.difference == 1.0
    assert errors.interval[0] > 0
    assert all(row.difference == 1.0 and row.low > 0 for row in errors.classes)
    swapped = compare_errors(1 - labels, labels, labels)
    assert swapped.difference == -1.0
    assert swapped.interval == pytest.approx((-errors.interval[1], -errors.interval[0]))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_swapping_models_mirrors_and_the_order_of_examples_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    a, b, labels = random_predictions(rng, n=80)
    errors, swapped = compare_errors(a, b, labels), compare_errors(b, a, labels)
    order = rng.permutation(80)
    shuffled = compare_errors(a[order], b[order], labels[order])
    for row, back, same in zip(errors.classes, swapped.classes, shuffled.classes, strict=True):
        assert row.p == pytest.approx(back.p, rel=1e-12)
        assert (row.low, row.high) == pytest.approx((-back.high, -back.low), abs=1e-9, nan_ok=True)
        assert dataclasses.astuple(row) == pytest.approx(dataclasses.astuple(same), nan_ok=True)
    assert errors.kappa == pytest.approx(swapped.kappa, abs=1e-12)


def test_identical_models_do_not_differ_anywhere():
    a, _, labels = random_predictions(np.random.default_rng(1))
    errors = compare_errors(a, a, labels)
    assert (errors.difference, errors.mcnemar_p, errors.agreement, errors.churn, errors.kappa) == (
        0.0,
        1.0,
        1.0,
        0.0,
        1.0,
    )
    assert not any(row.significant for row in errors.classes)
    assert errors.disagreements == []
    assert "disagreements" not in str(errors)


def test_classes_too_small_to_reach_significance_are_marked_so():
    labels = np.repeat([0, 1, 2], [5, 6, 100])
    errors = compare_errors(labels, labels, labels, correction="none")
    assert [row.testable for row in errors.classes] == [False, True, True]  # 2^(1-5) = 0.0625, 2^(1-6) = 0.031
    assert "too few examples to tell of 1" in str(errors)


@pytest.mark.parametrize("correction", ["holm", "benjamini-hochberg"])
def test_testable_counts_the_correction(correction):
    """Of 100 classes of 8 none could come out alone, 100 x 2^-7 > 0.05; of 12 each could, 100 x 2^-11 < 0.05."""
    small, large = np.repeat(np.arange(100), 8), np.repeat(np.arange(100), 12)
    assert not any(row.testable for row in compare_errors(small, small, small, correction=correction).classes)
    assert all(row.testable for row in compare_errors(large, large, large, correction=correction).classes)


def test_testable_says_what_would_have_been():
    """By construction: put the most extreme outcome into a class, and see whether it is then significant."""
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(8), [1, 3, 5, 6, 7, 9, 12, 30])
    for correction in ("holm", "benjamini-hochberg"):
        a = np.where(rng.random(73) < 0.8, labels, 0)
        b = np.where(rng.random(73) < 0.5, labels, 0)
        for index, row in enumerate(compare_errors(a, b, labels, correction=correction).classes):
            own = labels == index
            extreme = compare_errors(np.where(own, labels, a), np.where(own, 8, b), labels, correction=correction)
            assert row.testable == extreme.classes[index].significant
            assert row.testable or not row.significant


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ("x", "x")}, "two different names"),
        ({"correction": "bonferroni"}, "expected one of benjamini-hochberg, holm, none"),
        ({"level": 95}, "level 95: expected a number between 0 and 1"),
        ({"alpha": 0}, "alpha 0"),
        ({"example_ids": ["x"]}, "1 example_ids for 2 examples"),
        ({"class_names": ["cat"]}, "labels: 1 at example 1, but class_names has 1 classes"),
        ({"class_names": {0: "cat", 2: "dog"}}, "expected 0 to 1"),
        ({"mapping": "names", "head_classes": {"b": ["cat", "dog"]}}, "what do the labels mean"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        compare_errors([0, 1], [1, 1], [0, 1], **options)
