"""Best matches as lines between two columns of layers."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from cka_plugin.analysis.correspondence import correspondence as best_matches
from cka_plugin.core import Sums
from cka_plugin.report.plots.correspondence import correspondence
from cka_plugin.report.plots.frame import TEXT, Frame
from tests.support.pictures import faults, layers


def sums(matrix: np.ndarray) -> Sums:
    """Inner products of layers of unit norm in ten minibatches, which give this CKA."""
    rng = np.random.default_rng(0)
    xy = np.stack([matrix + 0.01 * rng.normal(size=matrix.shape) for _ in range(10)])
    xx, yy = (np.ones((10, count)) for count in matrix.shape)
    return Sums(xy, xx, yy, np.ones(10, dtype=bool))


def test_each_layer_is_joined_to_its_best_match_and_what_has_none_is_crossed() -> None:
    matrix = np.full((4, 8), 0.1)
    matrix[0, 1], matrix[1, 3], matrix[3, 7] = 0.9, 0.8, 0.7
    matrix[2] = 0.05  # nothing resembles it
    found = best_matches(sums(matrix), layers(4), layers(8))
    axes = correspondence(found, (layers(4), layers(8)), ("a", "b")).axes[0]
    joined = [tuple(line.get_ydata()) for line in axes.lines if line.get_gid() == "match"]
    # places of the longer column are brought to the height of the shorter one
    assert joined == [(0, 0.25), (1, 1.25), (3, 3.25)]
    assert [line.get_ydata()[0] for line in axes.lines if line.get_gid() == "unmatched"] == [2]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]


@pytest.mark.parametrize(("first", "second", "width"), [(5, 9, "column"), (400, 60, "column"), (60, 400, "text")])
def test_names_never_touch(first: int, second: int, width: str) -> None:
    along = np.abs(np.linspace(0, 1, first)[:, None] - np.linspace(0, 1, second))
    found = best_matches(sums(0.9 * np.exp(-along)), layers(first), layers(second))
    names = ("convnext_atto.d2_in1k", "vit_base_patch16_clip_224.openai")
    figure = correspondence(found, (layers(first), layers(second)), names, frame=Frame(width=width, title="title"))
    assert faults(figure) == []


def test_in_axes_given_what_is_written_beneath_is_no_larger_than_in_a_figure_of_its_own() -> None:
    found = best_matches(sums(0.9 * np.eye(3)), layers(3), layers(3))
    for frame in (Frame(), Frame(ax=Figure().add_subplot())):
        axes = correspondence(found, (layers(3), layers(3)), ("a", "b"), frame=frame).axes[0]
        assert axes.xaxis.label.get_size() == TEXT
