"""Figures of models against their parameters, width or depth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.analysis.families.relation import Relation
from cka_plugin.analysis.families.summary import Summary
from cka_plugin.report.plots.frame import BLUE, DEFAULT, MINUS, WIDE, Frame, axes_in, new_figure, styled, titled
from cka_plugin.report.plots.placing import name_points
from cka_plugin.tables import short
from cka_plugin.wording import for_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORDS = {
    "parameters": "parameters",
    "layers": "layers",
    "features": "features of the widest layer",
    "accuracy": "accuracy",
    "block_share": "share of layers in blocks",
    "first_component_share": "largest first-component share",
    "dimension": "effective dimension, median",
    "neighbours": "mean CKA of neighbouring layers",
}
_USUAL = ("accuracy", "block_share", "first_component_share", "dimension")
_SHARES = ("accuracy", "block_share", "first_component_share")  # which lie in [0, 1]
_LOGARITHMIC = 4.0  # largest over smallest, from which an axis is logarithmic


@styled
def summary(found: Summary, x: str = "parameters", y: str | None = None, frame: Frame = DEFAULT) -> Figure:
    """A point a model: how a figure of models goes with another, with the rank correlation and its p over each panel.

    p permutes the models; with few of them no correlation can be shown, and then it says `inconclusive`.

    Args:
        found: what `Comparison.summary` gives.
        x: `parameters`, `layers`, `features`, ..., or a factor that was given, such as `width`.
        y: another; by default a panel each of accuracy, share of layers in blocks, largest first-component share and
            dimension, as far as they are known.
        frame: axes (for one `y`), width and title.

    Returns:
        The figure.

    Raises:
        ValueError: no such figure, or none of the models has both.

    Example:
        >>> import torch, cka_plugin as cka
        >>> from torch import nn
        >>> nets = {f"net{w}": nn.Sequential(nn.Linear(8, w), nn.ReLU(), nn.Linear(w, 3)) for w in (4, 8, 16)}
        >>> widths = {f"net{w}": {"width": w} for w in (4, 8, 16)}
        >>> found = cka.compare(nets, data=torch.randn(80, 8), progress=False).summary(widths)
        >>> figure = summary(found, "width", "neighbours")
        >>> figure.axes[0].collections[0].get_offsets()[:, 0].tolist()
        [4.0, 8.0, 16.0]
    """
    table = found.to_frame()
    wanted = [y] if y is not None else [name for name in _USUAL if name != x]
    relations = {name: found.relate(x, name) for name in wanted}
    panels = {}
    for name in wanted:
        values = table[[x, name]].astype(float).to_numpy()
        known = np.flatnonzero(np.isfinite(values).all(axis=1))
        if known.size:
            panels[name] = (values[known], [found.models[place].name for place in known])
    if not panels:
        raise ValueError(f"no model has both {x!r} and {', '.join(map(repr, wanted))}: nothing to draw")
    if frame.ax is not None and len(panels) > 1:
        raise ValueError(f"say which figure is drawn in the axes given: y= one of {', '.join(map(repr, panels))}")
    if len(panels) == 1:
        figure, only = axes_in(frame, "column", height=0.9)
        all_axes = [only]
    else:
        width = frame.inches("text")
        columns = 2 if width >= WIDE else 1
        rows = math.ceil(len(panels) / columns)
        figure = new_figure(width, 0.8 * width / columns * rows)
        titled(figure, frame)
        all_axes = list(np.ravel(figure.subplots(rows, columns)))
        for spare in all_axes[len(panels) :]:
            spare.set_axis_off()
    for axes, (name, (values, _)) in zip(all_axes, panels.items(), strict=False):
        _draw(axes, (x, name), values, relations[name])
    figure.draw_without_rendering()
    for axes, (values, names) in zip(all_axes, panels.values(), strict=False):
        name_points(axes, list(values[:, 0]), list(values[:, 1]), names, most=24)
    return figure


def _draw(axes: Axes, names: tuple[str, str], values: np.ndarray, relation: Relation) -> None:
    axes.scatter(values[:, 0], values[:, 1], s=14, color=BLUE, zorder=3, linewidth=0)
    axes.margins(0.15)
    for axis, name, column in ((axes.xaxis, names[0], values[:, 0]), (axes.yaxis, names[1], values[:, 1])):
        axis.set_label_text(for_plot(WORDS.get(name, name)))
        axis.set_major_formatter(lambda value, _: _short(value))
        if name in _SHARES:
            axis.set_view_interval(
                max(-0.02, axis.get_view_interval()[0]), min(1.02, axis.get_view_interval()[1]), True
            )
        if column.min() > 0 and column.max() >= _LOGARITHMIC * column.min():
            _logarithmic(axes, axis)
    axes.set_title(_said(relation), loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _logarithmic(axes: Axes, axis: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(10, subs=(1.0, 3.0), numticks=6))
    axis.set_major_formatter(lambda value, _: _short(value))
    axis.set_minor_formatter(NullFormatter())


def _short(value: float) -> str:
    """A count in few letters.

    Example:
        >>> [_short(value) for value in (0.3, 300, 3000, 25e6, 1e9)]
        ['0.3', '300', '3k', '25M', '1G']
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}".replace("-", MINUS)


def _said(relation: Relation) -> str:
    if math.isnan(relation.correlation):
        return f"{relation.n} models, no correlation"
    said = f"rank correlation {relation.correlation:+.2f}, p = {short(relation.p)}".replace("-", MINUS)
    return f"{said} (inconclusive)" if relation.verdict == "inconclusive" else said
