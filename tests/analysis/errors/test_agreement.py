"""Many models: matrices of agreement and of kappa, and whether models that represent alike err alike."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from cka_plugin.analysis.errors.agreement import error_matrices, similarity_and_errors
from cka_plugin.analysis.errors.compare import compare_errors
from cka_plugin.analysis.statistics.mantel import mantel


@pytest.fixture(scope="module")
def zoo():
    """Six models: three err on even examples, three on odd ones."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 600)
    even = np.arange(600) % 2 == 0

    def model(hard):
        return np.where(rng.random(600) < np.where(hard, 0.3, 0.9), labels, rng.integers(0, 5, 600))

    return {f"m{i}": model(even if i < 3 else ~even) for i in range(6)}, labels


def test_the_matrices_are_those_of_all_pairs(zoo):
    models, labels = zoo
    matrices = error_matrices(models, labels)
    names = list(models)
    assert matrices.names == names
    for i, x in enumerate(names):
        for j, y in enumerate(names):
            pair = compare_errors(models[x], models[y], labels)
            assert matrices.agreement[i, j] == pytest.approx(pair.agreement, abs=1e-12)
            assert matrices.agreement_when_wrong[i, j] == pytest.approx(pair.agreement_when_wrong, abs=1e-12)
            assert matrices.kappa[i, j] == pytest.approx(pair.kappa, abs=1e-12)
    right = {name: model == labels for name, model in models.items()}
    assert matrices.kappa[0, 5] == pytest.approx(cohen_kappa_score(right["m0"], right["m5"]), abs=1e-9)
    assert matrices.accuracies == pytest.approx([right[name].mean() for name in names])


def test_undefined_pairs_are_nan_with_a_reason():
    labels = np.array([0, 1, 0, 1])
    matrices = error_matrices({"x": labels, "y": labels, "z": 1 - labels}, labels)
    assert math.isnan(matrices.kappa[0, 1])
    assert math.isnan(matrices.agreement_when_wrong[0, 1])
    assert matrices.kappa[0, 2] == 0.0
    assert "x and y: both models are right on every example" in matrices.reasons["kappa"]
    assert "kappa has undefined pairs" in str(matrices)
    assert json.loads(json.dumps(matrices.to_dict(), allow_nan=False))["kappa"][0][1] is None


def test_the_frame_has_a_row_for_each_pair(zoo):
    models, labels = zoo
    matrices = error_matrices(models, labels)
    frame = matrices.to_frame()
    assert len(frame) == 15
    row = frame[(frame["a"] == "m1") & (frame["b"] == "m4")].iloc[0]
    assert row["kappa"] == matrices.kappa[1, 4]
    assert row["difference"] == pytest.approx(matrices.accuracies[1] - matrices.accuracies[4])
    assert repr(matrices).startswith("<ErrorMatrices of 6 models on 600 examples: agreement 0.")


def test_similar_representations_and_like_errors_are_related_by_mantel(zoo):
    models, labels = zoo
    errors = error_matrices(models, labels)
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.02, (6, 6))
    alike = np.where(np.equal.outer(np.arange(6) < 3, np.arange(6) < 3), 0.9, 0.5) + noise + noise.T
    related = similarity_and_errors(alike, errors)
    assert related.kappa == mantel(alike, errors.kappa)
    assert related.agreement == mantel(alike, errors.agreement)
    assert related.kappa.statistic > 0.9
    assert related.kappa.p <= 0.1  # three and three: the two halves alone give 72 of 720 orders
    assert "similarity and kappa of correctness: correlation +0.9" in str(related)
    assert json.loads(json.dumps(related.to_dict(), allow_nan=False))["kappa"]["exact"] is True


def test_an_undefined_similarity_is_said_not_guessed(zoo):
    models, labels = zoo
    errors = error_matrices(models, labels)
    hole = np.eye(6)
    hole[2, 3] = hole[3, 2] = math.nan
    related = similarity_and_errors(hole, errors)
    assert math.isnan(related.kappa.p)
    assert "undefined (x is not defined for all pairs of models (rows [2, 3])" in str(related)


def test_bad_input_is_refused(zoo):
    models, labels = zoo
    with pytest.raises(ValueError, match="at least two models"):
        error_matrices({"x": labels}, labels)
    with pytest.raises(ValueError, match="'m1' has predictions of 599"):
        error_matrices({"m0": models["m0"], "m1": models["m1"][:-1]}, labels)
    with pytest.raises(ValueError, match=r"shape \(5, 5\) for 6 models"):
        similarity_and_errors(np.eye(5), error_matrices(models, labels))
