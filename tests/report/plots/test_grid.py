"""All pairs of models as small multiples."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from cka_plugin.report.plots.frame import Frame
from cka_plugin.report.plots.grid import grid
from tests.support.pictures import faults, layers


def panels(figure: Figure) -> list:
    return [axes for axes in figure.axes if axes.images]


def test_a_grid_holds_every_pair_in_its_place_once() -> None:
    names = ["a", "b", "c"]
    figure = grid(lambda i, j: np.full((2, 2), i + j / 10) / 3, [[]] * 3, names)
    drawn = {axes.get_gid(): axes.images[0].get_array()[0, 0] for axes in panels(figure)}
    assert drawn == {f"{a}|{b}": (i + j / 10) / 3 for i, a in enumerate(names) for j, b in enumerate(names) if j <= i}
    assert [axes.get_ylabel() for axes in panels(figure) if axes.get_ylabel()] == names
    assert [axes.get_xlabel() for axes in panels(figure) if axes.get_xlabel()] == names


def test_all_panels_have_one_scale() -> None:
    figure = grid(lambda i, j: np.full((5, 5), 0.3 + 0.1 * (i + j)), [[]] * 3, ["a", "b", "c"])
    assert {axes.images[0].get_clim() for axes in panels(figure)} == {(0.3, 0.7)}


@pytest.mark.parametrize(("count", "width"), [(1, "column"), (2, "column"), (4, "column"), (4, "text"), (8, "text")])
def test_names_never_touch(count: int, width: str) -> None:
    names = [f"{i}_small_patch16_224.some_recipe_in1k" for i in range(count)]
    given = [layers(14) for _ in names]
    figure = grid(lambda i, j: np.full((14, 14), 0.5), given, names, frame=Frame(width=width, title="title"))
    assert faults(figure) == []


def test_a_grid_takes_no_axes() -> None:
    with pytest.raises(ValueError, match="leave ax= out"):
        grid(lambda i, j: np.eye(2), [[]], ["a"], frame=Frame(ax=Figure().add_subplot()))
