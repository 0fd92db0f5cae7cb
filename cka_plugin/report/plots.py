"""Pictures of comparisons (matplotlib): the heatmap of one pair of models, and of every pair in a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.adapters.base import Layer
from cka_plugin.core import Floats
from cka_plugin.wording import for_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = "magma"
MOST_TICKS = 26  # more labels than this would overlap: every second, third, ... is shown


def heatmap(
    matrix: Floats,
    layers: tuple[Sequence[Layer], Sequence[Layer]],
    names: tuple[str, str] = ("", ""),
    axes: Axes | None = None,
    title: str | None = None,
    bar: str | None = "CKA",
) -> Figure:
    """CKA of every layer of one model (vertical, from the bottom) with every layer of another (horizontal).

    Colours span 0 to 1; values outside, which unbiased CKA may have, are drawn in the end colours and marked by the
    pointed ends of the colour bar. Layers without a similarity (NaN) are grey.

    Args:
        matrix: (layers_a, layers_b).
        layers: of the two models, for the labels; without any, none is labelled.
        names: of the models on the vertical and on the horizontal axis.
        axes: where to draw; a new figure by default.
        title: over the picture.
        bar: the label of the colour bar; None: no bar.

    Returns:
        The figure.
    """
    from matplotlib import colormaps

    if axes is None:
        size = float(np.clip(2.2 + 0.16 * max(matrix.shape), 4.2, 11.0))
        axes = new_figure(size + 1.2, size).add_subplot()
    colors = colormaps[COLORS].with_extremes(bad="0.7")
    image = axes.imshow(np.ma.masked_invalid(matrix), origin="lower", cmap=colors, vmin=0.0, vmax=1.0, aspect="auto")
    _ticks(axes, "x", layers[1])
    _ticks(axes, "y", layers[0])
    axes.set_xlabel(for_plot(names[1]))
    axes.set_ylabel(for_plot(names[0]))
    if title is not None:
        axes.set_title(for_plot(title), fontsize="medium")
    figure = axes.figure
    if bar is not None:
        finite = matrix[np.isfinite(matrix)]
        low, high = bool((finite < 0).any()), bool((finite > 1).any())
        extend = "both" if low and high else "min" if low else "max" if high else "neither"
        figure.colorbar(image, ax=axes, label=bar, extend=extend, fraction=0.046, pad=0.03)
    return figure  # type: ignore[return-value]


def pair_grid(matrices: Sequence[Sequence[Floats]], names: Sequence[str], title: str | None = None) -> Figure:
    """The heatmap of every model with every other, and with itself on the diagonal.

    Args:
        matrices: one row a model, in it one (layers_a, layers_b) matrix a model.
        names: of the models.
        title: over the picture.
    """
    count = len(names)
    side = float(np.clip(12.0 / count, 1.6, 4.5))
    figure = new_figure(side * count + 1.2, side * count)
    if title is not None:
        figure.suptitle(title, fontsize="medium")
    image = None
    for row, a in enumerate(names):
        for column, b in enumerate(names):
            axes = figure.add_subplot(count, count, row * count + column + 1)
            heatmap(matrices[row][column], ([], []), axes=axes, bar=None)
            image = axes.images[0]
            if row == count - 1:
                axes.set_xlabel(for_plot(b))
            if column == 0:
                axes.set_ylabel(for_plot(a))
    if image is not None:
        figure.colorbar(image, ax=figure.axes, label="CKA", fraction=0.03, pad=0.02)
    return figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches, apart from pyplot's global state; notebooks show it."""
    from cka_plugin.report.picture import Picture

    return Picture(figsize=(width, height), layout="constrained", dpi=120)


def _ticks(axes: Any, side: str, layers: Sequence[Layer]) -> None:
    step = max(1, math.ceil(len(layers) / MOST_TICKS))
    places = list(range(0, len(layers), step))
    labels = [for_plot(layers[place].name) for place in places]
    if side == "x":
        axes.set_xticks(places, labels, rotation=90, fontsize=7)
    else:
        axes.set_yticks(places, labels, fontsize=7)
