"""The figure of a check: CKA with the baseline, layer by layer, with intervals and thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from cka_plugin.wording import for_plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class CheckedLayer(Protocol):
    """What is drawn of a layer; `cka` is NaN where it is undefined, `low` and `high` where there is no interval."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def cka(self) -> float:
        """CKA with the same layer of the baseline."""

    @property
    def low(self) -> float:
        """Lower limit of its interval."""

    @property
    def high(self) -> float:
        """Upper limit."""

    @property
    def threshold(self) -> float:
        """The lowest CKA that passes."""

    @property
    def passed(self) -> bool:
        """Whether it does."""


def plot_check(rows: Sequence[CheckedLayer], title: str = "") -> Figure:
    """Draw a check.

    Args:
        rows: one a layer, in the order in which they fire: `CheckResult.layers`.
        title: over the picture.

    Returns:
        A matplotlib figure (`.savefig(path)`), made without touching pyplot's state.
    """
    from cka_plugin.report.picture import Picture

    places = range(len(rows))
    figure = Picture(figsize=(max(5.0, 1.5 + 0.28 * len(rows)), 4.5), layout="constrained")
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
    axes.set_xticks(list(places), [for_plot(row.name) for row in rows], rotation=90)
    axes.set_ylabel("CKA with the baseline")
    axes.set_title(for_plot(title))
    axes.legend()
    return figure
