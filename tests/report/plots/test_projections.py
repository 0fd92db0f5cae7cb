"""Projections on first components."""

from __future__ import annotations

import numpy as np

from cka_plugin.report.plots.frame import Frame
from cka_plugin.report.plots.projections import projections
from tests.support.pictures import faults, layers


def sizes(count: int) -> np.ndarray:
    made = np.abs(np.random.default_rng(0).normal(size=(count, 200)))
    made[count // 2 :, :3] = 50
    return made


def test_bands_hold_their_shares_and_dominant_examples_stand_out() -> None:
    made = sizes(6)
    axes = projections(made, layers(6), [0, 1, 2], [(3, 6)]).axes[0]
    outer, inner = axes.collections[:2]
    assert outer.get_paths()[0].vertices[:, 1].max() == np.quantile(made, 0.95, axis=1).max()
    assert inner.get_paths()[0].vertices[:, 1].max() == np.quantile(made, 0.75, axis=1).max()
    lines = [line.get_ydata() for line in axes.lines if line.get_gid() == "dominant"]
    assert len(lines) == 3
    assert all((line[3:] == 50).all() for line in lines)
    assert [(patch.get_x(), patch.get_width()) for patch in axes.patches if patch.get_gid() == "run"] == [(2.5, 3.0)]


def test_the_counts_are_of_the_run_and_have_two_humps() -> None:
    beside = projections(sizes(6), layers(6), [0, 1, 2], [(3, 6)]).axes[0].child_axes[0]
    counts = np.array([patch.get_width() for patch in beside.patches])
    assert counts[-1] == 9  # three examples in three layers
    assert (counts[-6:-1] == 0).all()


def test_dead_layers_are_hatched_and_texts_never_touch() -> None:
    made = sizes(60)
    made[5] = np.nan
    figure = projections(made, layers(60), [0, 1, 2], [(30, 60)], Frame(width="column", title="title"))
    assert [patch.get_x() for patch in figure.axes[0].patches if patch.get_hatch()] == [4.5]
    assert faults(figure) == []
