"""Heatmaps take arrays, layers and names."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from cka_plugin.report.plots.frame import Frame
from cka_plugin.report.plots.heatmap import heatmap
from tests.support.pictures import faults, layers


def test_a_heatmap_shows_every_entry_and_marks_values_outside_0_to_1() -> None:
    matrix = np.array([[1.02, -0.01], [np.nan, 0.5], [0.2, 0.3]])
    figure = heatmap(matrix, (layers(3, 1), layers(2)), ("tall", "small"), frame=Frame(title="examples"))
    drawn = figure.axes[0].images[0].get_array()
    assert np.array_equal(drawn.mask, np.isnan(matrix))
    assert np.array_equal(drawn.filled(np.nan), matrix, equal_nan=True)
    assert figure.axes[0].images[0].colorbar.extend == "both"
    assert [figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()] == ["small", "tall"]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["stages.0.blocks.0", "stages.0.blocks.1", "stages.0.blocks.2"]
    assert figure.get_suptitle() == "examples"


def test_labels_of_many_layers_are_thinned_out() -> None:
    figure = heatmap(np.zeros((100, 4)), (layers(100), layers(4)))
    figure.draw_without_rendering()
    places = figure.axes[0].get_yticks()
    assert 20 <= len(places) <= 50
    assert {0, 25, 50, 75, 99} <= set(places)


def test_cells_without_a_similarity_are_hatched_and_none_are_where_there_is_none() -> None:
    matrix = np.full((4, 4), 0.5)
    assert not heatmap(matrix).axes[0].patch.get_hatch()
    matrix[1] = np.nan
    axes = heatmap(matrix).axes[0]
    assert axes.patch.get_hatch()
    assert axes.images[0].cmap.get_bad()[3] == 0  # what lies under it shows


def test_a_line_stands_where_a_stage_begins() -> None:
    axes = heatmap(np.zeros((8, 4)), (layers(8), layers(4, 1))).axes[0]
    across = {line.get_ydata()[0] for line in axes.lines if line.get_gid() == "stage"}
    assert across == {1.5, 3.5, 5.5}


@pytest.mark.parametrize("count", [4, 30, 400])
@pytest.mark.parametrize("width", ["column", "text"])
def test_names_of_layers_never_touch_and_are_never_too_small(count: int, width: str) -> None:
    matrix = np.linspace(0.3, 1.0, count * count).reshape(count, count)
    given = layers(count)
    figure = heatmap(
        matrix, (given, given), ("a model with a long name",) * 2, frame=Frame(width=width, title="T " * 60)
    )
    assert faults(figure) == []
    assert figure.get_figwidth() == {"column": 3.25, "text": 6.75}[width]
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(shown) == 4 if count == 4 else len(shown) > 8


def test_a_figure_has_no_empty_space_above_and_below() -> None:
    figure = heatmap(np.zeros((6, 6)), (layers(6), layers(6)))
    figure.draw_without_rendering()
    assert figure.get_tightbbox().height > 0.93 * figure.get_figheight()


def test_a_heatmap_is_drawn_into_axes_of_ones_own() -> None:
    own = Figure(layout="constrained")
    first, second = own.subplots(1, 2)
    assert heatmap(np.eye(3), names=("a", "b"), frame=Frame(ax=second, title="right")) is own
    assert second.images
    assert not first.images
    assert second.get_title() == "right"


def test_a_width_is_a_name_or_inches() -> None:
    with pytest.raises(ValueError, match=r"'page': expected 'column' \(3.25 inches\)"):
        heatmap(np.eye(3), frame=Frame(width="page"))
    assert heatmap(np.eye(3), frame=Frame(width=5.0)).get_figwidth() == 5.0


def test_axes_of_a_part_of_a_figure_give_the_whole_figure() -> None:
    own = Figure(layout="constrained")
    part = own.subfigures(1, 2)[1]
    assert heatmap(np.eye(3), frame=Frame(ax=part.add_subplot())) is own
