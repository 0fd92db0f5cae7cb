"""The figure of a check takes rows, whatever made them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from cka_plugin.report.plots.check import check
from cka_plugin.report.plots.frame import Frame
from tests.support.pictures import faults, layers


@dataclass
class Row:
    name: str
    cka: float
    low: float
    high: float
    threshold: float
    passed: bool
    depth: float = 0.0


def test_every_layer_is_drawn_by_its_verdict_and_undefined_ones_are_marked() -> None:
    rows = [
        Row("stem", 0.999, 0.998, 1.0, 0.99, True),
        Row("stages.0", 0.9, math.nan, math.nan, 0.99, False),
        Row("head", math.nan, math.nan, math.nan, 0.99, False),
    ]
    figure = check(rows, Frame(title="new against old"))
    axes = figure.axes[0]
    passed, failed = (collection for collection in axes.collections if collection.get_label() in ("pass", "fail"))
    assert passed.get_offsets().tolist() == [[0.0, 0.999]]
    assert failed.get_offsets().tolist() == [[1.0, 0.9]]
    assert [patch.get_x() for patch in axes.patches if patch.get_hatch()] == [1.5]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["stem", "stages.0", "head"]
    assert figure.get_suptitle() == "new against old"
    assert [text.get_text() for text in axes.texts if text.get_text()] == ["stages.0"]  # the worst


@pytest.mark.parametrize("count", [5, 200])
def test_names_never_touch(count: int) -> None:
    rows = [
        Row(layer.name, 0.999 - 0.01 * (i % 7), 0.9, 1.0, 0.99, i % 7 == 0) for i, layer in enumerate(layers(count))
    ]
    assert faults(check(rows, Frame(title="new against old"))) == []
