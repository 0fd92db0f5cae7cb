"""Agreement, churn and kappa of predictions need no labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from cka_plugin.analysis.errors.agreement import error_matrices
from cka_plugin.analysis.errors.predictions_alike import compare_predictions, in_common, prediction_kappa

HEAD = ["cat", "dog", "owl"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40))
def test_kappa_of_predictions_is_cohens(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs).T
    found = prediction_kappa(a, b)
    if len(set(a.tolist()) | set(b.tolist())) == 1:
        assert math.isnan(found.value)
        assert found.reason
    else:
        assert found.value == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)


def test_agreement_of_scores_and_indices() -> None:
    scores = np.random.default_rng(0).normal(size=(50, 3))
    found = compare_predictions(scores, np.roll(scores.argmax(1), 1), names=("x", "y"))
    same = (scores.argmax(1) == np.roll(scores.argmax(1), 1)).mean()
    assert (found.agreement, found.churn, found.n_examples) == (same, 1 - same, 50)
    assert found.to_dict()["names"] == ["x", "y"]
    assert f"the same class for {same:.1%} of 50 examples" in repr(found)


def test_heads_of_another_order_are_matched_by_name() -> None:
    scores = np.random.default_rng(1).normal(size=(50, 3))
    heads = {"a": HEAD, "b": ["owl", "cat", "dog"]}
    assert compare_predictions(scores, scores[:, [2, 0, 1]], head_classes=heads).agreement == 1.0


def test_heads_of_other_classes_need_a_mapping() -> None:
    a, b = [0, 1, 2, 0], [0, 1, 2, 3]
    heads = {"a": HEAD, "b": ["cat", "lorry", "owl", "emu"]}
    with pytest.raises(ValueError, match="'a' and 'b' have other classes: give mapping="):
        compare_predictions(a, b, head_classes=heads)
    assert compare_predictions(a, b, head_classes=heads, mapping="names").agreement == 0.5
    table = {"b": {"cat": "cat", "lorry": "dog", "owl": "owl", "emu": None}}
    assert compare_predictions(a, b, head_classes=heads, mapping=table).agreement == 0.75


def test_a_class_that_means_none_agrees_with_no_other_head() -> None:
    a, b = in_common([("a", [0, 1]), ("b", [0, 1])], mapping={"b": {0: 0}})
    assert (a == b).tolist() == [True, False]


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([0, 1], [0, 1, 1], {}, "'a' of 2, 'b' of 3 examples"),
        ([[0.1, 0.9]] * 2, [[0.2, 0.3, 0.5]] * 2, {}, "'a' has 2, 'b' has 3: give mapping"),
        ([0, 1], [0, 1], {"mapping": "names"}, "head of 'a' has no class names to match by"),
        ([0, 1], [0, 1], {"mapping": {"c": {0: 0}}}, "the models are 'a', 'b'"),
        ([0, 3], [0, 1], {"head_classes": {"a": HEAD}}, "'a' has predictions of 4 classes, but its head has 3"),
        ([0, 1], [0, 1], {"names": ("x", "x")}, "two different names"),
    ],
)
def test_bad_input_is_refused(a, b, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        compare_predictions(a, b, **options)


def test_matrices_without_labels_hold_the_agreement_and_say_what_is_missing() -> None:
    predictions = {"x": [0, 1, 1, 0], "y": [0, 1, 0, 0], "z": [1, 1, 1, 1]}
    found = error_matrices(predictions)
    assert found.agreement.tolist() == error_matrices(predictions, [0, 1, 1, 1]).agreement.tolist()
    assert np.isnan(found.accuracies).all()
    assert np.isnan(found.kappa).all()
    assert set(found.reasons.values()) == {"without labels it is not known what is right"}
    assert "without labels" in str(found)
    with pytest.raises(ValueError, match="give labels"):
        error_matrices(predictions, restrict=True)
