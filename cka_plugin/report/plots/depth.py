"""Similarity of two models along the depth of the first, with its interval and the levels to hold it against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cka_plugin.core import Floats
from cka_plugin.report.plots.frame import (
    BLUE,
    DEFAULT,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Frame,
    axes_in,
    elided,
    legend_above,
    styled,
)
from cka_plugin.report.plots.layer_axis import name_layers
from cka_plugin.report.stages import NamedLayer, stage_starts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEVELS = ((GREEN, "--"), (PURPLE, "-."), (ORANGE, (0, (1, 1))), (SKY, (0, (4, 1, 1, 1, 1, 1))))
_CHANCE = "by chance (95%)"


@dataclass(frozen=True)
class Curve:
    """A similarity for each layer.

    Attributes:
        name: what it is, for the legend.
        values: (layers,), NaN where there is none.
        low: (layers,) lower ends of its interval; NaN or None where there is none.
        high: (layers,) upper ends.
    """

    name: str
    values: Floats
    low: Floats | None = None
    high: Floats | None = None


@styled
def depth(
    layers: Sequence[NamedLayer],
    curves: Sequence[Curve],
    chance: Floats | None = None,
    levels: Mapping[str, Floats] | None = None,
    what: str = "CKA",
    frame: Frame = DEFAULT,
) -> Figure:
    """Similarity of each layer of a model, in the order in which layers fire, with interval bands and levels.

    Bands are intervals over minibatches. What lies in the grey area, independent representations would reach as well.
    Layers without a similarity are hatched.

    Args:
        layers: of the model, with `name` and `depth`.
        curves: what is drawn with its band: CKA with the layer at equal depth, with the best match, ...
        chance: (layers,) the level that chance reaches.
        levels: further ones by name, each (layers,): an untrained copy, input, labels.
        what: the measure, for the axis.
        frame: axes, width and title.

    Returns:
        The figure.

    Raises:
        ValueError: a curve or level of another number of layers.

    Example:
        >>> from cka_plugin.adapters.base import Layer
        >>> net = [Layer(f"blocks.{i}", f"{i}", "block", i / 2) for i in range(3)]
        >>> best = Curve("best match", np.array([0.9, 0.8, 0.7]), np.array([0.8] * 3), np.array([0.95] * 3))
        >>> figure = depth(net, [best], chance=np.array([0.1] * 3), levels={"untrained": np.array([0.4, 0.3, 0.2])})
        >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        ['best match', 'by chance (95%)', 'untrained']
    """
    given = {**{curve.name: curve.values for curve in curves}, **(levels or {})}
    if chance is not None:
        given["chance"] = chance
    for name, values in given.items():
        if np.shape(values) != (len(layers),):
            raise ValueError(
                f"{name!r} has shape {np.shape(values)}: expected a number for each of {len(layers)} layers"
            )
    figure, axes = axes_in(frame, "column" if len(layers) <= 24 else "text", height=0.95, wide=0.55)
    places = np.arange(len(layers))
    for curve, color, marker in zip(curves, (BLUE, RED, GREEN), "osD", strict=False):
        if curve.low is not None and curve.high is not None:
            axes.fill_between(places, curve.low, curve.high, color=color, alpha=0.22, linewidth=0)
        size = 3.0 if len(layers) <= 60 else 0.0
        axes.plot(places, curve.values, color=color, marker=marker, markersize=size, label=elided(curve.name, 40))
    if chance is not None:
        axes.fill_between(places, np.minimum(0.0, chance), chance, color=GREY, alpha=0.3, linewidth=0, label=_CHANCE)
    for (name, values), (color, dashes) in zip((levels or {}).items(), _LEVELS, strict=False):
        axes.plot(places, values, color=color, linestyle=dashes, label=elided(name, 40))
    hatch_missing(axes, np.all([~np.isfinite(curve.values) for curve in curves], axis=0))
    for place in stage_starts([layer.name for layer in layers]):
        axes.axvline(place - 0.5, color="0.75", linewidth=0.5, zorder=0, gid="stage")
    axes.set_xlim(-0.5, len(layers) - 0.5)
    name_layers(axes, "x", layers, 22)
    axes.set_ylabel(what)
    axes.spines[["top", "right"]].set_visible(False)
    legend_above(axes)
    return figure


def hatch_missing(axes: Axes, missing: npt.ArrayLike) -> None:
    """Hatch the layers along x that have no number."""
    for place in np.flatnonzero(missing):
        axes.axvspan(place - 0.5, place + 0.5, facecolor="0.95", edgecolor="0.5", hatch="////", linewidth=0, zorder=0)
