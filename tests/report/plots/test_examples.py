"""Single examples: placed differently, and dominant."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.analysis.examples.result import ExampleComparison, PlacedExample
from cka_plugin.report.plots.examples import dominant, examples
from cka_plugin.report.plots.frame import Frame
from tests.support.pictures import faults


def placed(count: int, labelled: bool = True) -> ExampleComparison:
    rows = []
    for i in range(count):
        wrong = (
            {"label": "a class of a long name", "correct_a": i % 2 == 0, "correct_b": i % 3 == 0} if labelled else {}
        )
        rows.append(
            PlacedExample(f"photos/{i}/a_long_file_name.jpeg", 0.02 * i, -0.1, "stem", dominant=i == 4, **wrong)
        )
    return ExampleComparison(("one", "other"), rows, [], [], np.zeros((count, 1)), 0.15, 0.1, None, 64)


def test_the_worst_stand_on_top_by_what_either_model_gets_wrong() -> None:
    axes = examples(placed(30), most=6).axes[0]
    points = {group.get_label(): group.get_offsets().tolist() for group in axes.collections}
    assert points == {
        "dominant": [[0.08, 1.0]],
        "both wrong": [[0.1, 0.0], [0.02, 4.0]],
        "one wrong": [[0.06, 2.0]],
        "other wrong": [[0.04, 3.0]],
        "neither wrong": [[0.0, 5.0]],
    }
    assert tuple(axes.lines[0].get_xdata()) == (-0.1, 0.1)
    assert axes.patches[0].get_x() + axes.patches[0].get_width() == pytest.approx(0.15)


def test_pictures_stand_beside_their_rows() -> None:
    found = placed(5)
    pictures = {found.examples[1].example_id: np.zeros((9, 9)), found.examples[2].example_id: "a text"}
    axes = examples(found, pictures).axes[0]
    boxes = [artist for artist in axes.artists if artist.get_gid() == "picture"]
    assert [box.xy[1] for box in boxes] == [3]


def test_the_dominant_ones_are_a_strip_of_pictures_texts_or_nothing() -> None:
    figure = dominant([np.ones((4, 6, 3)), "once upon a time", None], ["a", "b\ncat", "c"], [3.0, 2.0, 1.0])
    assert [bool(axes.images) for axes in figure.axes] == [True, False, False]
    assert figure.axes[1].texts[0].get_text().replace("\n", " ") == "once upon a time"
    assert [axes.get_xlabel() for axes in figure.axes] == ["a", "b\ncat", "c"]
    assert figure.axes[0].get_title() == "3.0×"
    with pytest.raises(ValueError, match="2 pictures, 1 captions"):
        dominant([None, None], ["a"])


@pytest.mark.parametrize("labelled", [True, False])
def test_texts_never_touch(labelled: bool) -> None:
    found = placed(25, labelled)
    pictures = {row.example_id: np.zeros((8, 8)) for row in found.examples}
    assert faults(examples(found, frame=Frame(title="title"))) == []
    assert faults(examples(found, pictures, frame=Frame(title="title"))) == []
    captions = [f"{row.example_id}\na class" for row in found.examples]
    texts = ["a text of many words " * 9] * 25
    assert faults(dominant(texts, captions, [1.5] * 25, frame=Frame(title="title"))) == []
