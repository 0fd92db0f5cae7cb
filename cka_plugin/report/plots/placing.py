"""Names beside points, so that none touches another or hides a point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.report.plots.frame import SMALL, distinct, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

_TURNS = 8  # directions tried at each distance
_DISTANCES = (5.0, 9.0, 14.0, 20.0, 28.0, 38.0, 50.0)  # points; from the third on a line leads to the name
_LED = 10.0
_GAP = 1.0  # points between two names
_BEHIND = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.4}


def name_points(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    names: Sequence[str],
    most: int = 28,
    beside: tuple[Sequence[float], Sequence[float]] = ((), ()),
) -> None:
    """Write a name beside each point, in the nearest place that is free; what finds none is left out.

    This comes last, after limits and labels, once `figure.draw_without_rendering()` has laid the figure out.

    Args:
        axes: where the points are.
        x: of the points.
        y: of the points.
        names: one a point.
        most: letters of a name; longer ones lose their middle.
        beside: (x, y) of further points, which have no names and are not to be hidden either.
    """
    from matplotlib.transforms import Bbox

    figure = figure_of(axes)
    renderer = figure._get_renderer()  # type: ignore[attr-defined]
    point = figure.dpi / 72
    inside = axes.get_window_extent(renderer)
    places = axes.transData.transform(np.column_stack([x, y]))
    points = np.vstack([places, axes.transData.transform(np.column_stack(beside))])
    taken: list[Bbox] = [Bbox.from_bounds(px - 2 * point, py - 2 * point, 4 * point, 4 * point) for px, py in points]
    for (px, py), at_x, at_y, name in zip(places, x, y, distinct(names, most), strict=True):
        style: dict[str, Any] = {
            "textcoords": "offset points",
            "fontsize": SMALL,
            "va": "center",
            "bbox": dict(_BEHIND),
        }
        text = axes.annotate(name, (at_x, at_y), (0, 0), **style)
        box = text.get_window_extent(renderer)
        found = _free(np.array([px, py]), (box.width, box.height), taken, inside, point)
        if found is None:
            text.remove()
            continue
        centre, distance = found
        text.set_horizontalalignment("center")
        text.set_position(((centre[0] - px) / point, (centre[1] - py) / point))
        taken.append(text.get_window_extent(renderer))
        if distance > _LED:
            axes.annotate(
                "",
                (at_x, at_y),
                ((centre[0] - px) / point, (centre[1] - py) / point),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.5", "shrinkA": 4, "shrinkB": 2},
            )


def _free(
    at: np.ndarray, size: tuple[float, float], taken: Sequence[Bbox], inside: Bbox, point: float
) -> tuple[np.ndarray, float] | None:
    """The nearest centre of a box of that size beside a point at which it touches nothing, and how far it is."""
    from matplotlib.transforms import Bbox

    width, height = size
    for distance in _DISTANCES:
        for turn in range(_TURNS):
            angle = 2 * np.pi * turn / _TURNS
            way = np.array([np.cos(angle), np.sin(angle)])
            edge = np.sign(np.round(way, 6)) * np.array([width, height]) / 2  # the box begins at the distance
            centre = at + way * distance * point + edge
            box = Bbox.from_bounds(centre[0] - width / 2, centre[1] - height / 2, width, height)
            within = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
            if within and not any(box.padded(_GAP * point).overlaps(other) for other in taken):
                return centre, distance
    return None
