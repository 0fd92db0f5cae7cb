"""Runs of layers that are alike and set off from those around them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cka_plugin.analysis.blocks.runs import shortest_run, similar_runs


@pytest.mark.parametrize("layers", [8, 12, 40])
def test_drift_of_any_pace_and_shape_has_no_runs(layers: int) -> None:
    distance = np.abs(np.subtract.outer(np.arange(layers), np.arange(layers)))
    for scale in np.geomspace(0.5, 128, 25):
        for shape in (np.exp(-distance / scale), np.exp(-((distance / scale) ** 2)), 1 / (1 + distance / scale)):
            assert [run for run in similar_runs(shape) if not math.isnan(run.contrast)] == []


def test_contrast_compares_with_layers_inside_at_the_same_distance() -> None:
    """Inside, CKA falls by 0.02 a layer; across either end by another 0.6, so that is the contrast."""
    distance = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    inside = (np.arange(12) >= 4) & (np.arange(12) < 10)
    matrix = 1 - 0.02 * distance - np.where(inside[:, None] == inside, 0, 0.6)
    (run,) = (run for run in similar_runs(matrix) if run.start == 4)
    assert (run.start, run.stop) == (4, 10)
    assert run.contrast == pytest.approx(0.6)


def test_the_shortest_run_is_3_layers_and_15_percent() -> None:
    assert [shortest_run(layers) for layers in (3, 8, 20, 21, 40, 400)] == [3, 3, 3, 4, 6, 60]
