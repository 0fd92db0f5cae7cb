"""Heatmaps take arrays, layers and names."""

from __future__ import annotations

import numpy as np

from cka_plugin.adapters.base import Layer
from cka_plugin.report.plots import MOST_TICKS, heatmap, pair_grid


def layers(count: int) -> list[Layer]:
    return [Layer(f"blocks.{i}", f"net.{i}", "block", i / max(count - 1, 1)) for i in range(count)]


def test_a_heatmap_shows_every_entry_and_marks_values_outside_0_to_1() -> None:
    matrix = np.array([[1.02, -0.01], [np.nan, 0.5], [0.2, 0.3]])
    figure = heatmap(matrix, (layers(3), layers(2)), ("tall", "small"), title="examples")
    drawn = figure.axes[0].images[0].get_array()
    assert np.array_equal(drawn.mask, np.isnan(matrix))
    assert np.array_equal(drawn.filled(np.nan), matrix, equal_nan=True)
    assert figure.axes[0].images[0].colorbar.extend == "both"
    assert [figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()] == ["small", "tall"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["blocks.0", "blocks.1", "blocks.2"]


def test_labels_of_many_layers_are_thinned_out() -> None:
    figure = heatmap(np.zeros((100, 100)), (layers(100), layers(100)))
    assert len(figure.axes[0].get_xticks()) <= MOST_TICKS


def test_a_grid_holds_every_pair_in_its_place() -> None:
    names = ["a", "b", "c"]
    matrices = [[np.full((2, 2), row + column / 10) / 3 for column in range(3)] for row in range(3)]
    figure = pair_grid(matrices, names)
    drawn = [axes.images[0].get_array() for axes in figure.axes[:9]]
    assert np.array_equal([part[0, 0] for part in drawn], [matrix[0, 0] for row in matrices for matrix in row])
    assert [axes.get_ylabel() for axes in figure.axes[:9:3]] == names
    assert [axes.get_xlabel() for axes in figure.axes[6:9]] == names
