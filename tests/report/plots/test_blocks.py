"""Block structure: runs outlined, and the first component that makes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cka_plugin.analysis.blocks import find_block_structure
from cka_plugin.analysis.blocks.detector import block_structure
from cka_plugin.report.plots.blocks import blocks
from cka_plugin.report.plots.frame import Frame
from tests.support.pictures import faults, layers
from tests.support.planted import planted


@pytest.fixture(scope="module")
def found():
    made = planted(np.random.default_rng(0), layers=12, runs=[(4, 10)], examples=128, width=48)
    return block_structure(made.represent())


def runs(axes) -> set[tuple[float, float]]:
    return {(patch.get_x() + 0.5, patch.get_x() + 0.5 + patch.get_width()) for patch in axes.patches if patch.get_gid()}


def test_every_panel_shows_the_run_and_what_it_is_made_of(found) -> None:
    figure = blocks(found, layers(12), "made")
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}
    assert list(panels) == ["CKA", "CKA without first PC", "cos² of first PCs", "variance in first PC"]
    run = (found.blocks[0].start, found.blocks[0].stop)
    assert all(runs(axes) == {run} for axes in panels.values())
    assert np.array_equal(panels["CKA"].images[0].get_array(), found.matrix)
    without = panels["CKA without first PC"].images[0]
    assert np.array_equal(without.get_array(), found.matrix_without_first_component)
    assert without.get_clim() == panels["CKA"].images[0].get_clim()
    assert panels["variance in first PC"].lines[0].get_ydata().tolist() == found.first_component_share.tolist()
    assert found.reason in figure.get_suptitle().replace("\n", " ")


def test_without_components_the_heatmap_stands_alone() -> None:
    matrix = np.full((12, 12), 0.2)
    matrix[4:10, 4:10] = 0.95
    np.fill_diagonal(matrix, 1)
    figure = blocks(find_block_structure(matrix))
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.images] == ["CKA"]


@pytest.mark.parametrize("width", ["column", "text"])
def test_texts_never_touch(found, width: str) -> None:
    assert faults(blocks(found, layers(12), "a_model", frame=Frame(width=width, title="title"))) == []


def test_a_run_that_is_not_set_off_is_dotted_and_not_shaded(found) -> None:
    seen = replace(found, verdict="none", blocks=[], other_runs=[replace(found.blocks[0], verdict="none")])
    figure = blocks(seen, layers(12))
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}
    assert [patch.get_linestyle() for patch in panels["CKA"].patches] == ["-", ":"]
    assert not panels["variance in first PC"].patches
    assert figure.get_suptitle().startswith("block structure: none. ")
