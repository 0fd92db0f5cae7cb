"""Agreement of predictions, and whether it goes with similarity."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.analysis.errors.agreement import ErrorMatrices, error_matrices
from cka_plugin.analysis.errors.agreement import similarity_and_errors as related
from cka_plugin.report.plots.agreement import agreement, similarity_and_errors
from cka_plugin.report.plots.frame import Frame
from tests.support.pictures import faults


def matrices(count: int, labelled: bool = True) -> ErrorMatrices:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200)
    predicted = {f"model{i}_of_a_long_name": np.where(rng.random(200) < 0.7, labels, 0) for i in range(count)}
    return error_matrices(predicted, labels if labelled else None)


def test_both_matrices_are_shown_where_labels_tell_what_is_right() -> None:
    found = matrices(3)
    shown = {axes.get_title(loc="left"): axes.images[0].get_array() for axes in agreement(found).axes if axes.images}
    assert np.array_equal(shown["agreement of predictions"], found.agreement)
    assert np.array_equal(shown["kappa of correctness"], found.kappa)
    alone = [axes for axes in agreement(matrices(3, labelled=False)).axes if axes.images]
    assert len(alone) == 1


def test_numbers_in_the_cells_tell_them_apart() -> None:
    made = matrices(3)
    close = np.array([[1.0, 0.991, 0.995], [0.991, 1.0, 0.993], [0.995, 0.993, 1.0]])
    found = ErrorMatrices(made.names, made.accuracies, close, close, close, 200, {})
    texts = {text.get_text() for text in agreement(found, "agreement").axes[0].texts}
    assert texts == {"1", ".991", ".995", ".993"}


def test_a_point_is_a_pair_of_models_and_the_test_stands_over_it() -> None:
    found = matrices(4)
    similarity = np.full((4, 4), 0.5) + 0.1 * np.eye(4) + 0.2 * (np.add.outer(range(4), range(4)) > 3)
    figure = similarity_and_errors(similarity, found, related(similarity, found), "kappa")
    pairs = np.triu_indices(4, 1)
    points = figure.axes[0].collections[0].get_offsets()
    assert points.tolist() == [[x, y] for x, y in zip(similarity[pairs], found.kappa[pairs], strict=True)]
    assert figure.axes[0].get_title(loc="left").startswith("r = ")


def test_an_unknown_matrix_is_an_error() -> None:
    with pytest.raises(ValueError, match="which = 'accuracy': expected 'agreement' or 'kappa'"):
        agreement(matrices(2), "accuracy")


@pytest.mark.parametrize(("count", "width"), [(2, "column"), (5, "text"), (14, "text")])
def test_texts_never_touch(count: int, width: str) -> None:
    found, similarity = matrices(count), np.random.default_rng(0).random((count, count))
    similarity = (similarity + similarity.T) / 2
    frame = Frame(width=width, title="title")
    assert faults(agreement(found, frame=frame)) == []
    assert faults(similarity_and_errors(similarity, found, related(similarity, found), frame=frame)) == []
