"""A forest plot of classes."""

from __future__ import annotations

import numpy as np
import pytest

import cka_plugin as cka
from cka_plugin.report.plots.classes import classes
from cka_plugin.report.plots.frame import BLUE, RED
from tests.support.pictures import faults


def compared(count: int, each: int = 40) -> cka.ErrorComparison:
    """The first model is right on the even classes alone, the second on all odd ones and half of the even ones."""
    labels = np.repeat(np.arange(count), each)
    a = np.where(labels % 2 == 0, labels, (labels + 1) % count)
    b = np.where((labels % 2 == 1) | (np.arange(len(labels)) % 2 == 0), labels, (labels + 1) % count)
    names = [f"a class of the {i}th kind, which has a long name" for i in range(count)]
    return cka.compare_errors(a, b, labels, names)


def test_every_class_has_its_difference_interval_and_verdict() -> None:
    found = compared(4)
    axes = classes(found).axes[0]
    rows = sorted(found.classes, key=lambda row: row.difference)
    drawn = [tuple(line.get_xdata()) for line in axes.lines if line.get_gid() == "interval"]
    assert drawn == [(row.low, row.high) for row in rows]
    assert {line.get_color() for line in axes.lines if line.get_gid() == "interval"} == {BLUE, RED}
    points = {group.get_label(): group.get_offsets().tolist() for group in axes.collections}
    assert points == {"differs": [[row.difference, place] for place, row in enumerate(rows)]}


def test_classes_too_small_to_tell_are_crosses_and_classes_without_examples_are_left_out() -> None:
    found = cka.compare_errors([0, 0, 1], [0, 1, 1], [0, 0, 1], ["cat", "dog", "none"])
    axes = classes(found).axes[0]
    assert [group.get_label() for group in axes.collections] == ["too few examples"]
    assert {label.get_text() for label in axes.get_yticklabels()} == {"cat", "dog"}


def test_of_many_classes_both_ends_are_shown_and_the_rest_is_counted() -> None:
    axes = classes(compared(100), most=5).axes[0]
    assert len([line for line in axes.lines if line.get_gid() == "interval"]) == 10
    assert [text.get_text() for text in axes.texts] == ["90 classes between"]


@pytest.mark.parametrize("count", [2, 45])
def test_names_never_touch(count: int) -> None:
    assert faults(classes(compared(count, 20))) == []
