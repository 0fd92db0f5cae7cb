"""The comparison of errors as tables, plain data and words."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np

from cka_plugin.analysis.errors.compare import ClassDifference, Disagreement, compare_errors
from tests.support.predictions import random_predictions


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
