"""The scale spans what there is, in round numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colormaps

from cka_plugin.report.plots.colour_scale import COLOURS, scale_of


def test_similarities_from_0_6_to_1_take_the_whole_scale() -> None:
    values = np.linspace(0.62, 0.97, 400).reshape(20, 20)
    assert (scale_of([values]).low, scale_of([values]).high) == (0.6, 1.0)


def test_one_odd_layer_does_not_spend_the_scale_and_shows_by_the_pointed_end() -> None:
    values = np.linspace(0.9, 0.99, 10_000).reshape(100, 100)
    values[0, 0] = 0.01
    scale = scale_of([values])
    assert scale.low == 0.9
    assert scale.extend == "min"


def test_a_model_with_itself_is_judged_without_its_diagonal_and_the_scale_ends_at_1() -> None:
    values = np.full((10, 10), 0.4)
    values[:5, :5] = 0.7
    np.fill_diagonal(values, 1.0)
    scale = scale_of([values])
    assert (scale.low, scale.high, scale.extend) == (0.4, 1.0, "neither")


@given(st.lists(st.floats(-0.1, 1.1), min_size=1, max_size=30))
def test_ends_are_ordered_within_0_and_1_and_cells_beyond_are_told(values: list[float]) -> None:
    matrix = np.array([values])
    scale = scale_of([matrix])
    assert 0.0 <= scale.low < scale.high <= 1.0
    assert scale.high - scale.low >= 0.05 - 1e-9
    assert scale.below == bool((matrix < scale.low - 1e-6).any())
    assert scale.above == bool((matrix > scale.high + 1e-6).any())


def test_nothing_finite_has_the_whole_scale_and_limits_are_kept() -> None:
    assert scale_of([np.full((2, 2), np.nan)]).high == 1.0
    assert (scale_of([np.eye(2)], (0.2, 0.4)).low, scale_of([np.eye(2)], (0.2, 0.4)).high) == (0.2, 0.4)
    with pytest.raises(ValueError, match="the lower first"):
        scale_of([np.eye(2)], (0.4, 0.2))


def test_equal_steps_of_the_map_are_equal_steps_of_lightness() -> None:
    red, green, blue = (np.asarray(colormaps[COLOURS](np.linspace(0, 1, 256)))[:, i] for i in range(3))

    def linear(channel: np.ndarray) -> np.ndarray:
        return np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)

    luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    steps = np.diff(116 * np.cbrt(luminance) - 16)  # CIE L*
    assert (steps > 0).all()
    assert steps.std() < 0.35 * steps.mean()


def test_a_measure_of_another_range_has_a_scale_of_its_own() -> None:
    scale = scale_of([np.linspace(12, 87, 400).reshape(20, 20)])
    assert (scale.low, scale.high) == (10, 90)
    assert scale_of([np.linspace(-0.9, 0.9, 400).reshape(20, 20)]).low <= -0.88
