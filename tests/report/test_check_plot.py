"""The figure of a check takes rows, whatever made them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cka_plugin.report.check_plot import plot_check


@dataclass
class Row:
    name: str
    cka: float
    low: float
    high: float
    threshold: float
    passed: bool


def test_every_layer_is_drawn_by_its_verdict_and_undefined_ones_are_marked() -> None:
    rows = [
        Row("stem", 0.999, 0.998, 1.0, 0.99, True),
        Row("stages.0", 0.9, math.nan, math.nan, 0.99, False),
        Row("head", math.nan, math.nan, math.nan, 0.99, False),
    ]
    axes = plot_check(rows, "new against old").axes[0]
    passed, failed = (collection for collection in axes.collections if collection.get_label() in ("pass", "fail"))
    assert passed.get_offsets().tolist() == [[0.0, 0.999]]
    assert failed.get_offsets().tolist() == [[1.0, 0.9]]
    assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"] == [2]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["stem", "stages.0", "head"]
    assert axes.get_title() == "new against old"
