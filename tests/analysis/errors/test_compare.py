"""Errors of two models: the figures, the class table, the disagreements, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, cohen_kappa_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from cka_plugin.analysis.errors.compare import ClassDifference, Disagreement, compare_errors
from cka_plugin.analysis.statistics.intervals import tango_interval


def random_predictions(rng, n=400, classes=6, sure=(0.8, 0.7)):
    labels = rng.integers(0, classes - 1, n)  # the last class has no example
    labels[0] = classes - 2
    a, b = (np.where(rng.random(n) < p, labels, rng.integers(0, classes, n)) for p in sure)
    return a, b, labels


# The figures


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


# Classes that cannot be told


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


# Examples


def test_most_confident_disagreements_come_first():
    labels = [0, 0, 1, 1]
    a = [[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.05, 0.95]]
    b = [[0.2, 0.8], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]]
    errors = compare_errors(a, b, labels, example_ids=["w.png", "x.png", "y.png", "z.png"])
    assert [row.example_id for row in errors.disagreements] == ["w.png", "y.png", "x.png"]
    assert errors.disagreements[0] == Disagreement("w.png", 0, 0, 1, 0.9, 0.8, "a")
    assert [row.right for row in errors.disagreements] == ["a", "a", "a"]
    surer = [min(row.confidence_a, row.confidence_b) for row in errors.disagreements]
    assert surer == sorted(surer, reverse=True)


def test_disagreements_of_indices_keep_their_order_and_say_that_confidence_is_unknown():
    errors = compare_errors([0, 1, 2, 0], [1, 1, 0, 2], [1, 1, 1, 1])
    assert [row.example_id for row in errors.disagreements] == [0, 2, 3]
    assert [row.right for row in errors.disagreements] == ["b", "neither", "neither"]
    assert math.isnan(errors.disagreements[0].confidence_a)
    assert errors.reasons["disagreements"] == "no confidence: a and b gave class indices, not scores"


def test_a_model_without_confidence_leaves_the_order_to_the_other():
    errors = compare_errors([0, 0, 0], [[0.4, 0.6], [0.1, 0.9], [0.3, 0.7]], [0, 0, 0])
    assert [row.example_id for row in errors.disagreements] == [1, 2, 0]


def test_every_example_is_in_the_example_table():
    a, b, labels = random_predictions(np.random.default_rng(3), n=30)
    frame = compare_errors(a, b, labels).examples.to_frame()
    assert frame["right_a"].tolist() == (a == labels).tolist()
    assert frame["prediction_b"].tolist() == b.tolist()
    assert frame["example_id"].tolist() == list(range(30))


# Kinds of predictions


def test_logits_probabilities_and_indices_agree():
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(50, 4)) * 3
    probabilities = torch.softmax(torch.tensor(logits), 1)
    labels = rng.integers(0, 4, 50)
    from_logits = compare_errors(logits, logits.argmax(1), labels)
    from_probabilities = compare_errors(probabilities, logits.argmax(1), labels)
    assert from_logits.agreement == from_probabilities.agreement == 1.0
    assert from_logits.examples.confidence_a == pytest.approx(probabilities.max(1).values.numpy(), abs=1e-12)
    assert from_probabilities.examples.confidence_a == pytest.approx(from_logits.examples.confidence_a, abs=1e-12)


def test_probabilities_in_half_precision_are_still_probabilities():
    probabilities = torch.softmax(torch.randn(20, 1000, generator=torch.Generator().manual_seed(0)), 1)
    labels = torch.zeros(20, dtype=torch.long)
    for half in (probabilities.half(), probabilities.bfloat16()):
        errors = compare_errors(half, probabilities, labels)
        assert errors.examples.confidence_a == pytest.approx(probabilities.max(1).values.numpy(), rel=1e-2)


def test_large_logits_and_ruled_out_classes_have_a_confidence():
    scores = np.array([[1000.0, -1000.0, -np.inf], [-np.inf, 3.0, 3.0]])
    errors = compare_errors(scores, scores, [0, 2])
    assert errors.examples.confidence_a.tolist() == [1.0, 0.5]
    assert errors.examples.prediction_a.tolist() == [0, 1]  # of equal scores the first class


def test_class_names_come_from_a_table_of_index_to_name():
    errors = compare_errors([0, 1], [1, 1], [0, 1], {0: "cat", 1: "dog"})
    assert [row.name for row in errors.classes] == ["cat", "dog"]
    assert [row.name for row in compare_errors([0, 2], [1, 1], [0, 1]).classes] == ["0", "1", "2"]


# Heads with other classes


def test_a_mapping_brings_another_head_into_the_classes_of_the_labels():
    head = ["tabby", "car", "beagle", "siamese"]
    scores = np.log([[0.3, 0.1, 0.35, 0.25], [0.1, 0.6, 0.2, 0.1]])  # cats sum to 0.55; car is left out
    mapping = {"b": {"tabby": "cat", "siamese": "cat", "beagle": "dog", "car": None}}
    options = {"head_classes": {"b": head}, "restrict": True}
    errors = compare_errors([0, 1], scores, [0, 1], ["cat", "dog"], mapping=mapping, **options)
    assert errors.examples.prediction_b.tolist() == [0, 0]
    assert errors.examples.confidence_b == pytest.approx([0.55 / 0.9, 0.5])
    by_index = {"b": {0: 0, 3: 0, 2: 1}}
    again = compare_errors([0, 1], np.exp(scores), [0, 1], ["cat", "dog"], mapping=by_index, restrict=True)
    assert again.examples.confidence_b == pytest.approx(errors.examples.confidence_b)


def test_matching_by_name_undoes_another_order():
    rng = np.random.default_rng(5)
    scores, labels = rng.normal(size=(30, 3)), rng.integers(0, 3, 30)
    heads = {"a": ["x", "y", "z"], "b": ["z", "x", "y"]}
    with pytest.raises(
        ValueError, match=r"'b' has the classes of class_names in another order \(class 0 is 'z', there 'x'\)"
    ):
        compare_errors(scores, scores[:, [2, 0, 1]], labels, ["x", "y", "z"], head_classes=heads)
    errors = compare_errors(scores, scores[:, [2, 0, 1]], labels, ["x", "y", "z"], head_classes=heads, mapping="names")
    assert errors.agreement == 1.0


def test_heads_that_differ_are_an_error_without_a_mapping():
    scores = np.random.default_rng(6).normal(size=(4, 3))
    with pytest.raises(ValueError, match="'a' has 3, 'b' has 2: give mapping="):
        compare_errors(scores, scores[:, :2], [0, 1, 0, 1])
    with pytest.raises(ValueError, match="'a' has scores of 3 classes, class_names has 2: give mapping="):
        compare_errors(scores, [0, 1, 0, 1], [0, 1, 0, 1], ["cat", "dog"])
    heads = {"a": ["cat", "dog", "cow"], "b": ["cat", "dog", "emu"]}
    with pytest.raises(ValueError, match="other classes than the other head .*'cow' is in one only"):
        compare_errors(scores, scores, [0, 1, 0, 1], head_classes=heads)
    with pytest.raises(ValueError, match="'b' has scores of 3 classes, but its head has 2 class names"):
        compare_errors(scores, scores, [0, 1, 0, 1], head_classes={"b": ["cat", "dog"]})


def test_heads_that_agree_name_the_classes_and_placeholder_names_are_none():
    scores = np.random.default_rng(7).normal(size=(4, 2))
    heads = {"a": ["cat", "dog"], "b": {0: "LABEL_0", 1: "LABEL_1"}}
    assert compare_errors(scores, scores, [0, 1, 0, 1], head_classes=heads).class_names == ["cat", "dog"]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"vit": {0: 0}}, "mapping is for 'vit': the models are 'a', 'b'"),
        ({"b": {"lynx": "cat"}}, "class 'lynx' is not in the head of 'b'"),
        ({"b": {"tabby": "lynx"}}, "class 'lynx' is not in class_names"),
        ({"b": {7: 0}}, "class 7 is not in the head of 'b': it has 2 classes"),
        ({"b": {"tabby": None}}, "the mapping of 'b' maps no class"),
    ],
)
def test_mappings_that_do_not_fit_are_errors(mapping, message):
    with pytest.raises(ValueError, match=message):
        compare_errors(
            [0, 1], [[1.0, 2.0]] * 2, [0, 1], ["cat", "dog"], head_classes={"b": ["tabby", "pug"]}, mapping=mapping
        )


def test_a_predicted_index_outside_the_mapping_cannot_be_restricted_to_it():
    with pytest.raises(ValueError, match="predictions of 'b': class 2 at example 1 is not in its mapping"):
        compare_errors([0, 1], [0, 2], [0, 1], mapping={"b": {0: 0, 1: 1}}, restrict=True)


# What is refused


@pytest.mark.parametrize(
    ("a", "labels", "kind", "message"),
    [
        ([0, 1], [0, 1, 1], ValueError, "'a' has predictions of 2 examples, labels are of 3"),
        (
            [0, 1, 1],
            [0.0, 1.0, 1.0],
            TypeError,
            "labels of type float64: expected integer class indices; float targets",
        ),
        ([0, 1, 1], [0, 1, -100], ValueError, "-100 at example 2"),
        ([0, 1, 1], [[0, 1], [1, 1], [1, 0]], ValueError, "multi-label targets are not supported"),
        ([0, 1, 1], [], ValueError, "0 examples"),
        ([[0.1, 0.9]] * 3, [0, 1, 2], ValueError, "labels: 2 at example 2, but the scores have 2 classes"),
        ([0.5, 1.5, 2.0], [0, 1, 1], TypeError, "regression outputs"),
        ([[0.5], [1.5], [2.0]], [0, 1, 1], ValueError, "regression is not supported"),
        ([True, False, True], [0, 1, 1], TypeError, "does not say what it was"),
        (["cat", "dog", "dog"], [0, 1, 1], TypeError, "turn class names into indices first"),
        ([0, -1, 1], [0, 1, 1], ValueError, "class -1 at example 1"),
        ([[0, 1], [1, 0], [1, 1]], [0, 1, 1], TypeError, "multi-label"),
        ([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1], ValueError, "multi-label output is not supported"),
        ([[0.1, np.nan]] * 3, [0, 1, 1], ValueError, "3 of 3 examples have scores that are not finite"),
        ([[0.1, np.inf]] * 3, [0, 1, 1], ValueError, "not finite"),
        ([[-np.inf, -np.inf]] * 3, [0, 1, 1], ValueError, "not finite"),
        (np.zeros((3, 5, 100)), [0, 1, 1], ValueError, r"language models \(n, tokens, vocabulary\)"),
        (np.zeros((3, 0)), [0, 1, 1], ValueError, r"shape \(3, 0\)"),
    ],
)
def test_bad_input_is_refused_with_what_is_supported(a, labels, kind, message):
    b = [0] * max(len(labels), 1)
    with pytest.raises(kind, match=message):
        compare_errors(a, b, labels)


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


# Tables and words


def test_the_frame_has_the_columns_of_the_design():
    a, b, labels = random_predictions(np.random.default_rng(8))
    frame = compare_errors(a, b, labels).to_frame()
    expected = ["name", "n", "accuracy_a", "accuracy_b", "difference", "low", "high", "p", "p_corrected"]
    expected += ["significant", "testable"]
    assert list(frame.columns) == expected == [field.name for field in dataclasses.fields(ClassDifference)]
    assert len(frame) == 6
    disagreements = compare_errors(a, a, labels).disagreements_to_frame()
    assert list(disagreements.columns)[:3] == ["example_id", "label", "prediction_a"]
    assert len(disagreements) == 0


def test_the_dict_is_json_and_says_why_what_is_none():
    errors = compare_errors(np.array([0, 1]), np.array([0, 1]), np.array([0, 1]), ["cat", "dog", "cow"])
    back = json.loads(json.dumps(errors.to_dict(), allow_nan=False))
    assert back["kappa"] is None
    assert "right on every example" in back["reasons"]["kappa"]
    assert back["classes"][2]["accuracy_a"] is None
    assert back["interval"] == list(errors.interval)
    assert back["churn"] == 0.0


def test_it_prints_as_a_sentence_and_as_tables():
    rng = np.random.default_rng(9)
    labels = np.repeat([0, 1, 2], 40)
    a = np.eye(3)[labels] * 4 + rng.normal(size=(120, 3)) * 0.1
    b = np.where((labels == 2)[:, None], np.eye(3)[(labels + 1) % 3] * 4, a)
    errors = compare_errors(a, b, labels, ["cat", "dog", "cow"], names=("cnn", "vit"))
    assert repr(errors).startswith("<ErrorComparison of cnn (1.000) and vit (0.667) on 120 examples: difference +0.333")
    assert repr(errors).endswith("1 of 3 classes differ>")
    text = str(errors)
    assert "a difference of +33.3% [+25.5%, +42.2% at 95%]" in text
    rows = [line.split() for line in text.splitlines() if line.startswith(("cow", "cat"))]
    assert rows[0][:5] == ["cow", "40", "1.000", "0.000", "1.000"]
    assert rows[0][-1] == "differs"
    assert "most confident of 40 disagreements" in text
    assert all(len(line) < 160 for line in text.splitlines())


def test_a_thousand_classes_print_as_the_first_ten():
    labels = np.repeat(np.arange(1000), 3)
    text = str(compare_errors(labels, np.zeros_like(labels), labels))
    assert "... and 990 more" in text
    assert len(text.splitlines()) < 30
