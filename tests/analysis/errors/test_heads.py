"""Heads whose classes are not those of the labels: what a model predicts outside them is wrong, not forgotten."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cka_plugin.analysis.errors.agreement import error_matrices
from cka_plugin.analysis.errors.compare import compare_errors
from cka_plugin.analysis.errors.groups import compare_groups
from cka_plugin.analysis.errors.predictions import to_predictions
from cka_plugin.warnings import CKAWarning

CLASSES = ["cat", "dog", "owl"]
HEAD = ["tabby", "car", "beagle", "barn owl", "siamese", "lorry"]
TABLE = {"tabby": "cat", "siamese": "cat", "beagle": "dog", "barn owl": "owl"}  # car and lorry: no class of the labels
MEANS = np.array([0, -1, 1, 2, 0, -1])


def scores(seed: int = 0, n: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, len(HEAD)))


def labels(n: int = 200) -> np.ndarray:
    return np.arange(n) % 3


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from([None, 0, 1, 2]), min_size=6, max_size=6), st.integers(0, 2**16))
def test_accuracy_under_a_mapping_is_top_1_whatever_the_mapping(onto: list[int | None], seed: int) -> None:
    logits, truth = scores(seed, 60), labels(60)
    if all(target is None for target in onto):
        onto[0] = 0
    top_1 = np.array([-1 if target is None else target for target in onto])[logits.argmax(1)]
    of_logits = to_predictions(logits, onto=onto)
    assert np.array_equal(np.maximum(of_logits.classes, -1), top_1)
    of_indices = to_predictions(logits.argmax(1), onto=onto)
    assert np.array_equal(of_logits.classes, of_indices.classes)
    mapping = {"b": dict(enumerate(onto))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CKAWarning)
        errors = compare_errors(truth, logits, truth, mapping=mapping)
    assert errors.accuracy_b == (top_1 == truth).mean()
    assert errors.outside == (0.0, (top_1 < 0).mean())


def test_predictions_outside_the_mapping_are_other_and_named() -> None:
    logits, truth = scores(), labels()
    errors = compare_errors(truth, logits, truth, CLASSES, head_classes={"b": HEAD}, mapping={"b": TABLE})
    outside = MEANS[logits.argmax(1)] < 0
    assert errors.class_names == [*CLASSES, "other"]
    assert [row.name for row in errors.classes] == CLASSES  # no label is other, and no test is made of it
    assert np.array_equal(errors.examples.prediction_b == 3, outside)
    assert {row.outside_b for row in errors.disagreements if row.prediction_b == 3} == {"car", "lorry"}
    assert f"b predicts a class outside its mapping for {outside.mean():.1%} of the examples" in str(errors)
    assert errors.to_dict()["outside"] == [0.0, outside.mean()]


def test_confidence_is_the_probability_of_all_classes_that_mean_the_same() -> None:
    found = to_predictions(np.log([[0.4, 0.1, 0.2, 0.1, 0.15, 0.05]]), onto=[0, None, 1, 2, 0, None])
    assert found.classes.tolist() == [0]
    assert found.confidence == pytest.approx([0.55])


def test_restricted_models_choose_among_the_mapped_classes_only() -> None:
    logits, truth = scores(), labels()
    given_heads = {"head_classes": {"b": HEAD}, "mapping": {"b": TABLE}}
    restricted = compare_errors(truth, logits, truth, CLASSES, restrict=True, **given_heads)
    powers = np.exp(logits)
    summed = np.stack([powers[:, k == MEANS].sum(1) for k in range(3)], axis=1)
    assert np.array_equal(restricted.examples.prediction_b, summed.argmax(1))
    assert restricted.examples.confidence_b == pytest.approx(summed.max(1) / summed.sum(1))
    assert restricted.class_names == CLASSES
    assert restricted.outside == (0.0, 0.0)


def test_restriction_without_a_mapping_is_an_error() -> None:
    with pytest.raises(ValueError, match="give mapping= too"):
        compare_errors([0, 1], [0, 1], [0, 1], restrict=True)


def test_two_classes_outside_the_mapping_agree_only_where_they_are_the_same() -> None:
    a, b = [1, 1, 5, 0], [1, 5, 5, 0]  # car car lorry tabby, car lorry lorry tabby
    heads, mapping = {"a": HEAD, "b": HEAD}, {"a": TABLE, "b": TABLE}
    errors = compare_errors(a, b, [0, 1, 2, 0], CLASSES, head_classes=heads, mapping=mapping)
    assert (errors.agreement, errors.agreement_when_wrong) == (0.75, pytest.approx(2 / 3))
    assert [(row.outside_a, row.outside_b) for row in errors.disagreements] == [("car", "lorry")]
    matrices = error_matrices({"a": a, "b": b}, [0, 1, 2, 0], CLASSES, head_classes=heads, mapping=mapping)
    assert matrices.agreement[0, 1] == 0.75


def test_classes_outside_are_matched_by_name_where_heads_have_other_orders() -> None:
    order = [5, 4, 3, 2, 1, 0]
    logits = scores(2)
    heads = {"a": HEAD, "b": [HEAD[i] for i in order]}
    errors = compare_errors(
        logits, logits[:, order], labels(), CLASSES, head_classes=heads, mapping={"a": TABLE, "b": TABLE}
    )
    assert errors.agreement == 1.0
    assert errors.outside[0] > 0


def test_labels_that_no_class_of_the_head_means_are_said() -> None:
    table = {"tabby": "cat", "beagle": "dog"}
    with pytest.warns(CKAWarning, match="no class of the head of b means owl: its predictions of 66 of 200 examples"):
        errors = compare_errors(labels(), scores(), labels(), CLASSES, head_classes={"b": HEAD}, mapping={"b": table})
    assert errors.classes[2].accuracy_b == 0.0
    assert any("means owl" in note for note in errors.notes)


def test_names_match_the_part_of_a_head_that_the_labels_name() -> None:
    logits, truth = scores(), labels()
    names = ["barn owl", "tabby", "beagle"]
    errors = compare_errors(logits, truth, truth, names, head_classes={"a": HEAD}, mapping="names")
    expected = np.array([1, -1, 2, 0, -1, -1])[logits.argmax(1)]
    assert errors.accuracy_a == (expected == truth).mean()


def test_a_class_that_is_called_other_is_not_what_lies_outside() -> None:
    errors = compare_errors([0, 1], [0, 2], [0, 1], ["cat", "other"], mapping={"b": {0: 0, 1: 1}})
    assert errors.class_names == ["cat", "other", "other (outside the mapping)"]
    assert errors.accuracy_b == 0.5


def test_an_index_that_the_head_does_not_have_is_an_error() -> None:
    with pytest.raises(ValueError, match="'b' predicts class 6, but its head has 6 class names"):
        compare_errors([0, 1], [0, 6], [0, 1], CLASSES, head_classes={"b": HEAD}, mapping={"b": TABLE})


def test_groups_count_what_lies_outside_as_wrong() -> None:
    group = [scores(seed) for seed in range(3)]
    exact = [np.where(np.random.default_rng(seed).random(200) < 0.5, labels(), 0) for seed in range(3)]
    found = compare_groups(
        group, exact, labels(), CLASSES, names=("a", "b"), head_classes={"a": HEAD}, mapping={"a": TABLE}
    )
    expected = [(MEANS[logits.argmax(1)] == labels()).mean() for logits in group]
    assert found.accuracies_a == pytest.approx(expected)
    share = np.mean([(MEANS[logits.argmax(1)] < 0).mean() for logits in group])
    assert f"Note: a predicts a class outside its mapping for {share:.1%}" in str(found)


def test_names_that_match_nowhere_are_shown_side_by_side() -> None:
    heads = {"b": ["n01", "n02", "n03"]}
    with pytest.raises(ValueError, match=r"head of 'b' \(n01, n02, n03\) has the name of a label \(cat, dog, owl\)"):
        compare_errors([0, 1, 2], np.eye(3) * 2, [0, 1, 2], CLASSES, head_classes=heads, mapping="names")
