"""Similarity along depth, with its intervals and levels."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.report.plots.depth import Curve, depth
from cka_plugin.report.plots.frame import Frame
from tests.support.pictures import faults, layers


def curve(count: int) -> Curve:
    values = np.linspace(0.9, 0.5, count)
    return Curve("best match in a model of a long name", values, values - 0.1, values + 0.05)


def test_curves_bands_and_levels_are_drawn_as_given() -> None:
    untrained = np.array([0.4, 0.3, 0.2, 0.1])
    axes = depth(layers(4), [curve(4)], np.full(4, 0.05), {"untrained": untrained}).axes[0]
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert drawn["best match in a model of a long name"].tolist() == curve(4).values.tolist()
    assert drawn["untrained"].tolist() == untrained.tolist()
    band, chance = axes.collections
    assert sorted(band.get_paths()[0].vertices[:, 1])[0] == pytest.approx(0.4)
    assert band.get_paths()[0].vertices[:, 1].max() == pytest.approx(0.95)
    assert chance.get_paths()[0].vertices[:, 1].max() == pytest.approx(0.05)
    assert [line.get_xdata()[0] for line in axes.lines if line.get_gid() == "stage"] == []
    assert axes.get_legend().get_texts()[1].get_text() == "by chance (95%)"


def test_layers_without_a_similarity_are_hatched() -> None:
    values = np.array([0.9, np.nan, 0.7])
    axes = depth(layers(3), [Curve("best", values)]).axes[0]
    assert [(patch.get_x(), patch.get_width()) for patch in axes.patches if patch.get_hatch()] == [(0.5, 1.0)]


def test_a_curve_of_other_layers_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"'input' has shape \(3,\): expected a number for each of 4 layers"):
        depth(layers(4), [curve(4)], levels={"input": np.zeros(3)})


@pytest.mark.parametrize(("count", "width"), [(5, "column"), (400, "column"), (60, "text")])
def test_texts_never_touch(count: int, width: str) -> None:
    levels = {f"an untrained copy of model {i}": np.full(count, 0.1 * i) for i in range(3)}
    figure = depth(layers(count), [curve(count)], np.full(count, 0.05), levels, frame=Frame(width=width, title="title"))
    assert faults(figure) == []
