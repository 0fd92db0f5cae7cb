"""Pictures for notebooks show what they are given."""

from __future__ import annotations

import base64
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from cka_plugin.notebook.images import Bar, Shown, bars_image, matrix_image


def pixels(shown: Shown | None) -> np.ndarray:
    assert shown is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.source.partition(",")[2]))).convert("RGB"))


def elements(shown: Shown | None, kind: str) -> list[ElementTree.Element]:
    assert shown is not None
    root = ElementTree.fromstring(base64.b64decode(shown.source.partition(",")[2]))
    return [element for element in root.iter() if element.tag.endswith(f"}}{kind}")]


def test_a_matrix_is_drawn_from_below_in_viridis() -> None:
    shown = matrix_image(np.array([[0.0, 0.5], [np.nan, 1.0]]), "t")
    drawn = pixels(shown)
    side = len(drawn)
    below, above = drawn[side * 3 // 4], drawn[side // 4]
    assert tuple(below[side // 4]) == (0x44, 0x01, 0x54)
    assert tuple(below[side * 3 // 4]) == (0x21, 0x91, 0x8C)
    assert tuple(above[side * 3 // 4]) == (0xFD, 0xE7, 0x25)
    assert tuple(above[side // 4]) == (190, 190, 190)
    assert shown is not None
    assert shown.told.endswith("from 0.0 (violet) to 1.0 (yellow), grey: undefined")


def test_colours_span_what_there_is() -> None:
    shown = matrix_image(np.linspace(0.62, 0.97, 16).reshape(4, 4), "t")
    assert shown is not None
    assert shown.told == "t: from 0.6 (violet) to 1.0 (yellow)"


def test_runs_are_outlined_where_they_lie() -> None:
    plain, outlined = (pixels(matrix_image(np.full((10, 10), 0.5), "t", runs)) for runs in ([], [(2, 5)]))
    changed = np.argwhere((plain != outlined).any(-1))
    cell = len(plain) // 10
    assert changed[:, 1].min() == 2 * cell
    assert changed[:, 1].max() == 5 * cell - 1
    assert changed[:, 0].min() == 5 * cell  # rows count from below
    assert changed[:, 0].max() == 8 * cell - 1


def test_a_thousand_layers_are_a_small_picture() -> None:
    shown = matrix_image(np.random.default_rng(0).random((1000, 1000)), "t")
    assert shown is not None
    assert max(shown.width, shown.height) <= 520
    assert len(shown.source) < 1_000_000


def test_nothing_to_draw_is_no_picture() -> None:
    assert matrix_image(np.zeros((0, 0)), "t") is None
    assert bars_image([], "t") is None
    assert matrix_image(np.full((3, 3), np.nan), "t") is not None
    assert bars_image([Bar("a", float("nan"))], "t", points=True) is not None


def test_bars_start_at_zero_and_are_as_long_as_their_values() -> None:
    shown = bars_image([Bar("a", 0.5), Bar("b", 0.25), Bar("c", -0.25)], "t")
    lengths = [float(bar.get("width", 0)) for bar in elements(shown, "rect")[1:]]
    assert lengths == pytest.approx([2 * lengths[1], lengths[1], lengths[1]], abs=0.2)
    left = [float(bar.get("x", 0)) for bar in elements(shown, "rect")[1:]]
    assert left == pytest.approx([left[0], left[0], left[0] - lengths[2]], abs=0.2)


def test_points_stand_within_their_intervals_and_marks_are_ticks() -> None:
    shown = bars_image([Bar("a", 0.97, 0.95, 0.99, 0.98), Bar("b", 0.9)], "t", points=True)
    (point, other), lines = elements(shown, "circle"), elements(shown, "line")
    interval, tick = lines
    assert float(interval.get("x1", 0)) < float(point.get("cx", 0)) < float(interval.get("x2", 0))
    assert float(point.get("cx", 0)) < float(tick.get("x1", 0)) < float(interval.get("x2", 0))
    assert float(other.get("cx", 0)) < float(interval.get("x1", 0))
