"""Every pair of layers as a row, and drawn together at equal relative depth."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.adapters.base import Layer
from cka_plugin.analysis.layer_pairs import (
    frame_of_matrix,
    frame_of_pairs,
    mean_at_equal_depth,
    similarity_of_models,
)


def layers(count: int, prefix: str) -> list[Layer]:
    return [Layer(f"{prefix}{i}", f"net.{i}", "module", i / (count - 1)) for i in range(count)]


def test_each_pair_of_layers_is_a_row() -> None:
    matrix = np.arange(6.0).reshape(2, 3)
    frame = frame_of_pairs(matrix, (matrix - 1, matrix + 1), ("x", "y"), (layers(2, "a"), layers(3, "b")))
    row = frame.iloc[4]
    assert (row.model_a, row.layer_a, row.depth_a, row.model_b, row.layer_b, row.path_b) == (
        "x",
        "a1",
        1.0,
        "y",
        "b1",
        "net.1",
    )
    assert (row.cka, row.low, row.high) == (4.0, 3.0, 5.0)
    assert len(frame) == 6


def test_a_frame_of_a_matrix_has_names_on_both_axes() -> None:
    frame = frame_of_matrix(np.eye(2), ("x", "y"), (["a0", "a1"], ["b0", "b1"]))
    assert frame.loc["a1", "b1"] == 1.0
    assert (frame.index.name, frame.columns.name) == ("x", "y")


def test_layers_are_taken_with_the_nearest_in_depth_both_ways() -> None:
    matrix = np.array([[1.0, 0.5, 0.0], [0.2, 0.4, 0.8]])
    forward = (1.0 + 0.8) / 2
    backward = (1.0 + 0.5 + 0.8) / 3  # the middle layer of b is as near to both of a: the first counts
    assert mean_at_equal_depth(matrix, [0, 1], [0, 0.5, 1]) == pytest.approx((forward + backward) / 2)


def test_layers_without_a_similarity_are_left_out_and_models_without_any_have_none() -> None:
    matrix = np.array([[1.0, np.nan], [np.nan, np.nan]])
    assert mean_at_equal_depth(matrix, [0, 1], [0, 1]) == 1.0
    table = similarity_of_models(lambda i, j: np.full((2, 2), np.nan), [[0, 1], [0, 1]])
    assert np.isnan(table[0, 1])
    assert table[0, 0] == 1.0
