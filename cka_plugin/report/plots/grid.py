"""The heatmaps of all pairs of models, as small multiples on one scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cka_plugin.core import Floats
from cka_plugin.report.plots.colour_scale import draw_cells, scale_of
from cka_plugin.report.plots.frame import DEFAULT, LETTER, TEXT, Frame, distinct, new_figure, styled, titled
from cka_plugin.report.plots.layer_axis import mark_stages, name_layers
from cka_plugin.report.stages import NamedLayer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WITH_LAYERS = 4  # models: of more, the panels are too small for names of layers
_NAME = 22  # letters of a model's name
_BAR = (0.25, 0.55, 0.7, 0.09)  # where in the empty corner: left, bottom, width, height


@styled
def grid(
    matrix: Callable[[int, int], Floats],
    layers: Sequence[Sequence[NamedLayer]],
    names: Sequence[str],
    limits: tuple[float, float] | None = None,
    bar: str = "CKA",
    frame: Frame = DEFAULT,
) -> Figure:
    """The heatmap of every model with every other, and with itself on the diagonal.

    A row has one model's layers upwards, a column one model's to the right. Each pair is drawn once: its mirror image
    would say nothing new, and the colour bar stands in its place. All panels have one scale.

    Args:
        matrix: gives the (layers_a, layers_b) matrix of two models by their positions, the second at most the first.
        layers: of each model; empty sequences where none are to be named.
        names: of the models.
        limits: ends of the colour scale; by default what the matrices hold.
        bar: what the colour bar says.
        frame: width (`text` by default) and title.

    Raises:
        ValueError: axes were given: a grid fills a figure of its own.

    Example:
        >>> figure = grid(lambda i, j: np.eye(3) if i == j else np.full((3, 3), 0.4), [[], []], ["a", "b"])
        >>> [axes.get_gid() for axes in figure.axes if axes.images]
        ['a|a', 'b|a', 'b|b']
    """
    frame.alone("grid")
    count = len(names)
    width = frame.inches("text")
    figure = new_figure(width, width)
    titled(figure, frame)
    matrices = {(i, j): np.asarray(matrix(i, j)) for i in range(count) for j in range(i + 1)}
    scale = scale_of(list(matrices.values()), limits)
    cells = figure.add_gridspec(count, count)
    shown = distinct(names, _NAME)
    named = count <= _WITH_LAYERS
    side = 0.9 * (width * 72 - (85 if named else 20)) / count  # points of a panel, about
    along = max(map(len, shown)) * TEXT * LETTER <= side  # whether names fit beside the panels
    for (i, j), values in matrices.items():
        axes = figure.add_subplot(cells[i, j], gid=f"{names[i]}|{names[j]}")
        image = draw_cells(axes, values, scale)
        mark_stages(axes, layers[i], layers[j], 1.0 if named else 0.5)
        name_layers(axes, "y", layers[i] if named and j == 0 else [], 18)
        name_layers(axes, "x", layers[j] if named and i == count - 1 else [], 18)
        if j == 0:
            axes.set_ylabel(
                shown[i],
                rotation=90 if along else 0,
                ha="center" if along else "right",
                va="bottom" if along else "center",
            )
        if i == count - 1:
            axes.set_xlabel(shown[j], rotation=0 if along else 90)
    corner = figure.add_subplot(cells[0, 1:] if count > 1 else cells[0, 0])
    corner.set_axis_off()
    if count > 1:
        inset = corner.inset_axes(_BAR)
        figure.colorbar(image, cax=inset, label=bar, extend=scale.extend, orientation="horizontal")
    else:
        corner.remove()
        figure.colorbar(image, ax=figure.axes, label=bar, extend=scale.extend, fraction=0.05, pad=0.03)
    return figure
