"""CKA of every layer of one model with every layer of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cka_plugin.core import Floats
from cka_plugin.report.plots.colour_scale import draw_cells, scale_of
from cka_plugin.report.plots.frame import DEFAULT, Frame, axes_in, cut_to_height, elided, styled
from cka_plugin.report.plots.layer_axis import mark_stages, name_layers
from cka_plugin.report.stages import NamedLayer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIT_A_COLUMN = 24  # layers whose names fit beside a heatmap of one column


@styled
def heatmap(
    matrix: Floats,
    layers: tuple[Sequence[NamedLayer], Sequence[NamedLayer]] = ((), ()),
    names: tuple[str, str] = ("", ""),
    limits: tuple[float, float] | None = None,
    bar: str | None = "CKA",
    frame: Frame = DEFAULT,
) -> Figure:
    """CKA of every layer of one model (upwards) with every layer of another (to the right).

    Lines mark where stages begin. As many layers are named as fit. Cells without a similarity (NaN) are hatched. The
    colours span what there is, in round numbers; cells beyond, which unbiased CKA may have too, are drawn in the end
    colours and the ends of the bar are pointed.

    Args:
        matrix: (layers_a, layers_b).
        layers: of the two models, with `name` and `depth`; without any, none is named.
        names: of the models on the vertical and on the horizontal axis.
        limits: ends of the colour scale, such as (0, 1); by default what the matrix holds.
        bar: what the colour bar says; None: no bar.
        frame: axes, width and title.

    Returns:
        The figure.

    Example:
        >>> matrix = np.array([[0.93, 0.71], [0.82, np.nan]])
        >>> figure = heatmap(matrix, names=("ours", "theirs"))
        >>> figure.axes[0].get_ylabel(), figure.axes[0].images[0].get_clim()
        ('ours', (0.7, 0.95))
    """
    figure, axes = axes_in(frame, "column" if max(np.shape(matrix)) <= _FIT_A_COLUMN else "text", height=1.3)
    scale = scale_of([matrix], limits)
    image = draw_cells(axes, matrix, scale)
    mark_stages(axes, *layers)
    name_layers(axes, "y", layers[0])
    name_layers(axes, "x", layers[1])
    axes.set_ylabel(elided(names[0], 40))
    axes.set_xlabel(elided(names[1], 40))
    if bar is not None:
        figure.colorbar(image, ax=axes, label=bar, extend=scale.extend, fraction=0.05, pad=0.03)
    cut_to_height(figure, frame)
    return figure
