"""How the accuracies of two models differ class by class: a forest plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.analysis.errors.result import ClassDifference, ErrorComparison
from cka_plugin.report.plots.frame import (
    BLUE,
    DEFAULT,
    MINUS,
    RED,
    SMALL,
    Frame,
    axes_in,
    distinct,
    elided,
    legend_above,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 20  # classes at either end
_ROW = 0.125  # inches


@styled
def classes(found: ErrorComparison, most: int = MOST, frame: Frame = DEFAULT) -> Figure:
    """The difference of accuracy in each class with its interval, those where the second model is better below.

    Filled points are classes that differ after correction over all of them; a cross has too few examples ever to tell.
    Where there are more than twice `most` classes the ends are shown: their differences were chosen for their size, so
    they overstate what other examples of these classes would show. The band is the difference over all examples.

    Args:
        found: what `compare_errors` gives.
        most: classes at either end.
        frame: axes, width and title.

    Returns:
        The figure.

    Raises:
        ValueError: no class has examples; `most` below 1.

    Example:
        >>> import cka_plugin as cka
        >>> labels = np.repeat([0, 1], 30)
        >>> a, b = labels.copy(), labels.copy()
        >>> b[:20] = 1
        >>> figure = classes(cka.compare_errors(a, b, labels, ["cat", "dog"]))
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['dog', 'cat']
    """
    if most < 1:
        raise ValueError(f"most = {most}: expected 1 or more classes")
    known = sorted((row for row in found.classes if math.isfinite(row.difference)), key=lambda row: row.difference)
    if not known:
        raise ValueError("no class has an example: there is no difference to show")
    left_out = max(0, len(known) - 2 * most)
    rows: Sequence[ClassDifference | None] = [*known[:most], None, *known[-most:]] if left_out else known
    figure, axes = axes_in(frame, "column", height=(0.95 + _ROW * len(rows)) / frame.inches("column"))
    low, high = found.interval
    axes.axvspan(low, high, color="0.9", linewidth=0, zorder=0)
    axes.axvline(0, color="0.3", linewidth=0.6, zorder=1)
    groups: dict[str, list[int]] = {"differs": [], "not shown to differ": [], "too few examples": []}
    for place, row in enumerate(rows):
        if row is None:
            style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": SMALL}
            behind: dict[str, Any] = {"facecolor": "white", "linewidth": 0, "pad": 0.5}
            middle = axes.get_yaxis_transform()
            axes.text(0.5, place, f"{left_out:,} classes between", transform=middle, bbox=behind, **style)
            continue
        group = "differs" if row.significant else "not shown to differ" if row.testable else "too few examples"
        groups[group].append(place)
        axes.plot((row.low, row.high), (place, place), color=_colour(row), linewidth=0.9, gid="interval")
    for group, places in groups.items():
        _points(axes, group, [(place, rows[place]) for place in places])
    _label(axes, rows)
    a, b = (elided(name, 18) for name in found.names)
    axes.set_xlabel(f"← {b} better     {a} better →\ndifference of accuracy")
    axes.xaxis.set_major_formatter(lambda value, _: _percent(value))
    legend_above(axes)
    return figure


def _percent(value: float) -> str:
    """A difference of shares.

    Example:
        >>> _percent(-0.05), _percent(0.025), _percent(0.0)
        ('−5%', '+2.5%', '0')
    """
    return f"{100 * value:+.3g}%".replace("-", MINUS) if abs(value) > 1e-9 else "0"


def _points(axes: Axes, group: str, rows: Sequence[tuple[int, ClassDifference | None]]) -> None:
    shown = [(place, row) for place, row in rows if row is not None]
    if not shown:
        return
    x, y = [row.difference for _, row in shown], [place for place, _ in shown]
    colours = [_colour(row) for _, row in shown]
    if group == "too few examples":
        axes.scatter(x, y, s=9, marker="x", color=colours, linewidth=0.7, label=group, zorder=3)
    else:
        inside = colours if group == "differs" else "white"
        axes.scatter(x, y, s=12, facecolor=inside, edgecolor=colours, linewidth=0.8, label=group, zorder=3)


def _colour(row: ClassDifference) -> str:
    if not row.significant:
        return "0.5"
    return BLUE if row.difference > 0 else RED


def _label(axes: Axes, rows: Sequence[ClassDifference | None]) -> None:
    places = [place for place, row in enumerate(rows) if row is not None]
    named = [row for row in rows if row is not None]
    axes.set_yticks(places, distinct([row.name for row in named], 24))
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.spines[["top", "right"]].set_visible(False)
    counts = axes.twinx()
    counts.set_ylim(axes.get_ylim())
    counts.set_yticks(places, [f"n={row.n:,}" for row in named])
    counts.tick_params("y", length=0, labelcolor="0.35")
    counts.spines[:].set_visible(False)
    ends = np.array([value for row in named for value in (row.low, row.high, row.difference) if math.isfinite(value)])
    reach = 1.05 * max(0.02, float(np.abs(ends).max()))
    axes.set_xlim(-reach, reach)
