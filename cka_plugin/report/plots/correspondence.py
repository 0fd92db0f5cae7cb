"""Which layer of one model is most like which of another, as lines between two columns of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.analysis.correspondence import Correspondence
from cka_plugin.report.plots.colour_scale import on_white, scale_of
from cka_plugin.report.plots.frame import DEFAULT, TEXT, Frame, axes_in, elided, styled
from cka_plugin.report.plots.layer_axis import name_layers
from cka_plugin.report.stages import NamedLayer, stage_starts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SINGLE = 60  # layers up to which each line stands by itself; of more, lines are thinner


@styled
def correspondence(
    found: Correspondence,
    layers: tuple[Sequence[NamedLayer], Sequence[NamedLayer]],
    names: tuple[str, str] = ("", ""),
    shown: tuple[Sequence[NamedLayer], Sequence[NamedLayer]] | None = None,
    limits: tuple[float, float] | None = None,
    frame: Frame = DEFAULT,
) -> Figure:
    """The best match of each layer of one model, a line from its column to the other's.

    Colours say how alike the two are. A dotted line has a runner-up that it cannot be told from; a layer that nothing
    resembles, or that has no similarity, has a cross and no line. Level lines are matches at equal depth.

    Args:
        found: what `correspondence` gives.
        layers: of the two models, with `name` and `depth`.
        names: of the models.
        shown: the same layers under the names that the picture gives them, where these are others.
        limits: ends of the colour scale; by default what the matches have.
        frame: axes, width and title.

    Returns:
        The figure.

    Raises:
        ValueError: matches of another number of layers.

    Example:
        >>> import torch, cka_plugin as cka
        >>> from torch import nn
        >>> nets = {name: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)) for name in "ab"}
        >>> pair = cka.compare(nets, data=torch.randn(100, 8), granularity="module", progress=False)
        >>> figure = correspondence(pair.correspondence("a", "b"), (pair.layers("a"), pair.layers("b")), ("a", "b"))
        >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
        ['a', 'b']
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    first, second = layers
    if len(found.matches) != len(first):
        raise ValueError(f"{len(found.matches)} matches for {len(first)} layers: expected one a layer")
    tall = float(np.clip(0.55 + 0.11 * max(len(first), len(second)) / 3.25, 0.9, 2.2))
    figure, axes = axes_in(frame, "column", height=tall)
    scale = scale_of([np.array([[match.cka for match in found.matches]])], limits)
    shade = ScalarMappable(Normalize(scale.low, scale.high), on_white())
    where = {layer.name: place for place, layer in enumerate(second)}
    stretch = len(first) / len(second)  # from places in the second column to those in the first
    thick, dot = (1.2, "o") if len(first) <= _SINGLE else (max(0.35, 1.2 * _SINGLE / len(first)), "")
    for place, match in enumerate(found.matches):
        if match.match is None or match.unlike:
            axes.plot(0, place, "x", color="0.3", markersize=4, clip_on=False, gid="unmatched")
            continue
        ends = place, (where[match.match] + 0.5) * stretch - 0.5
        style = ":" if match.tied else "-"
        color = shade.to_rgba(np.asarray(match.cka))
        axes.plot((0, 1), ends, style, color=color, linewidth=thick, gid="match", marker=dot, clip_on=False)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.5, len(first) - 0.5)
    axes.set_xticks([0, 1], [elided(name, 20) for name in names])
    axes.tick_params("x", length=0, labelsize=TEXT, pad=4)
    right = axes.twinx()
    right.set_ylim(-0.5, len(second) - 0.5)
    for side, theirs, edge in ((axes, (shown or layers)[0], (0.0, 0.03)), (right, (shown or layers)[1], (0.97, 1.0))):
        name_layers(side, "y", theirs, 20)
        side.spines[["top", "bottom"]].set_visible(False)
        for start in stage_starts([layer.name for layer in theirs]):
            side.axhline(start - 0.5, *edge, color="0.4", linewidth=0.6, gid="stage")
    if np.isfinite(found.share_at_equal_depth):
        said = f"{found.share_at_equal_depth:.0%} of best matches at equal depth"
        axes.set_xlabel(f"{said} ({found.share_by_chance:.0%} at random)")
    bar: dict[str, Any] = {
        "label": "CKA of the best match",
        "extend": scale.extend,
        "location": "bottom",
        "fraction": 0.03,
        "pad": 0.03,
    }
    figure.colorbar(shade, ax=[axes, right], **bar)
    return figure
