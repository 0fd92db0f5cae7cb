"""What counts as predictions, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cka_plugin.analysis.errors.compare import compare_errors


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
