"""The figure of a check: CKA with the baseline, layer by layer, with intervals and thresholds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cka_plugin.regression.result import CheckResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_check(result: CheckResult) -> Figure:
    """Draw a check.

    Returns:
        A matplotlib figure (`.savefig(path)`), made without touching pyplot's state.
    """
    from matplotlib.figure import Figure

    rows = result.layers
    places = range(len(rows))
    figure = Figure(figsize=(max(5.0, 1.5 + 0.28 * len(rows)), 4.5), layout="constrained")
    axes = figure.subplots()
    values = [row.cka for row in rows]
    below = [max(0.0, row.cka - row.low) if math.isfinite(row.low) else 0.0 for row in rows]
    above = [max(0.0, row.high - row.cka) if math.isfinite(row.high) else 0.0 for row in rows]
    axes.errorbar(places, values, yerr=[below, above], color="0.4", linewidth=1, elinewidth=1, capsize=2)
    for passed, color, label in ((True, "tab:blue", "pass"), (False, "tab:red", "fail")):
        chosen = [i for i in places if rows[i].passed == passed and math.isfinite(rows[i].cka)]
        axes.scatter(chosen, [rows[i].cka for i in chosen], color=color, label=label, zorder=3)
    for i in places:
        if math.isnan(rows[i].cka):
            axes.axvline(i, color="tab:red", linestyle=":")
    axes.step(places, [row.threshold for row in rows], where="mid", color="black", linestyle="--", label="threshold")
    axes.set_xticks(list(places), [row.name for row in rows], rotation=90)
    axes.set_ylabel("CKA with the baseline")
    axes.set_title(f"{result.model} against {result.baseline}")
    axes.legend()
    return figure
