"""Figures of models against their size."""

from __future__ import annotations

import math

import pytest

from cka_plugin.analysis.families import ModelSummary, Summary
from cka_plugin.report.plots.summary import summary
from tests.support.pictures import faults


def made(count: int = 6) -> Summary:
    return Summary(
        [
            ModelSummary(
                name=f"network_of_width_{i}.recipe_in1k",
                family=None,
                layers=10 + i,
                parameters=10 ** (4 + i % 5),
                features=math.nan,
                accuracy=0.7 + 0.04 * i,
                block_verdict="none",
                block_share=0.0,
                first_component_share=0.1 * i,
                dimension=40.0 - i,
                neighbours=0.9,
                factors={"width": 2 * i},
            )
            for i in range(count)
        ]
    )


def test_a_point_is_a_model_and_its_relation_stands_over_the_panel() -> None:
    axes = summary(made(), "width", "accuracy").axes[0]
    assert axes.collections[0].get_offsets().tolist() == [[2 * i, 0.7 + 0.04 * i] for i in range(6)]
    assert axes.get_title(loc="left").startswith("rank correlation +1.00, p = 0.00")
    assert axes.get_xlabel() == "width"
    assert summary(made(4), "width", "accuracy").axes[0].get_title(loc="left").endswith("(inconclusive)")


def test_what_spans_magnitudes_is_logarithmic_and_written_short() -> None:
    figure = summary(made(), "parameters", "dimension")
    figure.draw_without_rendering()
    assert figure.axes[0].get_xscale() == "log"
    assert figure.axes[0].get_yscale() == "linear"
    assert {"10k", "1M"} <= {label.get_text() for label in figure.axes[0].get_xticklabels()}


def test_what_is_not_known_has_no_panel_and_a_figure_that_there_is_not_is_an_error() -> None:
    assert len(summary(made()).axes) == 4
    with pytest.raises(ValueError, match="no model has both 'features'"):
        summary(made(), "features", "accuracy")
    with pytest.raises(ValueError, match="'size' is no figure of the summary"):
        summary(made(), "size")


@pytest.mark.parametrize("count", [1, 12])
def test_texts_never_touch(count: int) -> None:
    assert faults(summary(made(count))) == []
