"""The layers of a regression check against their thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.report.checked_layer import CheckedLayer
from cka_plugin.report.plots.depth import hatch_missing
from cka_plugin.report.plots.frame import BLUE, DEFAULT, GREY, RED, Frame, axes_in, legend_above, styled
from cka_plugin.report.plots.layer_axis import name_layers
from cka_plugin.report.plots.placing import name_points
from cka_plugin.report.stages import stage_starts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SINGLE = 60  # layers up to which each interval is drawn by itself
_NAMED = 3  # of the layers that fail, the worst


@styled
def check(rows: Sequence[CheckedLayer], frame: Frame = DEFAULT) -> Figure:
    """CKA of each layer with the baseline, its interval, and the threshold below which it fails.

    Layers that fail are diamonds, and the worst of them are named; those without a CKA are hatched.

    Args:
        rows: one a layer, in the order in which they fire: `CheckResult.layers`.
        frame: axes, width and title.

    Returns:
        The figure.

    Example:
        >>> from cka_plugin.regression.result import LayerCheck
        >>> rows = [
        ...     LayerCheck("stem", "conv", "stem", 0.0, 0.999, 0.998, 1.0, 0.99, 1e-6, True),
        ...     LayerCheck("head", "fc", "head", 1.0, 0.71, 0.65, 0.77, 0.99, 1e-6, False),
        ... ]
        >>> [text.get_text() for text in check(rows).axes[0].texts]
        ['head']
    """
    figure, axes = axes_in(frame, "column" if len(rows) <= 24 else "text", height=0.9, wide=0.5)
    places = range(len(rows))
    values = [row.cka for row in rows]
    below = [max(0.0, row.cka - row.low) if math.isfinite(row.low) else 0.0 for row in rows]
    above = [max(0.0, row.high - row.cka) if math.isfinite(row.high) else 0.0 for row in rows]
    if len(rows) <= _SINGLE:
        axes.errorbar(places, values, yerr=[below, above], color=GREY, linewidth=0.7, elinewidth=0.8, capsize=1.5)
    else:
        axes.fill_between(places, np.subtract(values, below), np.add(values, above), color=GREY, alpha=0.3, linewidth=0)
    axes.step(places, [row.threshold for row in rows], where="mid", color="black", linestyle="--", label="threshold")
    for passed, color, marker, label in ((True, BLUE, "o", "pass"), (False, RED, "D", "fail")):
        chosen = [i for i in places if rows[i].passed == passed and math.isfinite(rows[i].cka)]
        if chosen:
            size = 12 if len(rows) <= _SINGLE else 5
            style: dict[str, Any] = {"s": size, "color": color, "marker": marker, "linewidth": 0, "zorder": 3}
            axes.scatter(chosen, [rows[i].cka for i in chosen], label=label, **style)
    hatch_missing(axes, [not math.isfinite(row.cka) for row in rows])
    for start in stage_starts([row.name for row in rows]):
        axes.axvline(start - 0.5, color="0.85", linewidth=0.5, zorder=0, gid="stage")
    axes.set_xlim(-0.5, len(rows) - 0.5)
    name_layers(axes, "x", rows, 22)
    axes.set_ylabel("CKA with the baseline")
    axes.margins(y=0.08)
    axes.spines[["top", "right"]].set_visible(False)
    legend_above(axes)
    failed = [i for i in places if not rows[i].passed and math.isfinite(rows[i].cka)]
    known = [i for i in places if math.isfinite(values[i])]
    worst = sorted(failed, key=lambda i: rows[i].cka - rows[i].threshold)[:_NAMED]
    figure.draw_without_rendering()
    points = known, [values[i] for i in known]
    name_points(axes, worst, [values[i] for i in worst], [rows[i].name for i in worst], 22, points)
    return figure
