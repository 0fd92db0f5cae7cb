"""Families in pictures of very many models, whose own names would not be legible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from cka_plugin.core import Floats
from cka_plugin.report.plots.frame import CYCLE, SMALL, elided, figure_of
from cka_plugin.report.plots.placing import name_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MANY = 45  # models, from which on names in 6 points would touch
OTHER = "0.7"  # the colour of families beyond those that are told apart
_MARKERS = "os^Dv"
_STEP = 1.25  # lines of text between two names


def marks_of(families: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each of the largest families; the others have none.

    Example:
        >>> list(marks_of(["vit", "resnet", "vit"]))
        ['vit', 'resnet']
    """
    largest = [family for family, _ in Counter(families).most_common(len(CYCLE) * len(_MARKERS))]
    return {
        family: (CYCLE[place % len(CYCLE)], _MARKERS[place // len(CYCLE) % len(_MARKERS)])
        for place, family in enumerate(largest)
    }


def runs(families: Sequence[str]) -> list[tuple[str, int, int]]:
    """Neighbours of one family: (family, from, to).

    Example:
        >>> runs(["a", "a", "b"])
        [('a', 0, 2), ('b', 2, 3)]
    """
    found, start = [], 0
    for family, members in groupby(families):
        stop = start + len(list(members))
        found.append((family, start, stop))
        start = stop
    return found


def name_runs(axes: Axes, families: Sequence[str]) -> None:
    """In place of the names of models: those of families beside their longest runs, as many as have room.

    Args:
        axes: of a (models, models) matrix.
        families: of the models in their order.
    """
    figure = figure_of(axes)
    figure.draw_without_rendering()
    points = float(axes.get_window_extent().height) / figure.dpi * 72
    room = _STEP * SMALL * len(families) / points  # models that a line of text takes
    named: list[tuple[float, str]] = []
    for family, start, stop in sorted(runs(families), key=lambda run: run[1] - run[2]):
        middle = (start + stop - 1) / 2
        if all(abs(middle - other) >= room for other, _ in named):
            named.append((middle, elided(family, 20)))
    places, names = zip(*sorted(named), strict=True)
    axes.set_yticks(places, names)
    axes.set_xticks(places, names, rotation=90)


def draw_families(axes: Axes, places: Floats, families: Sequence[str]) -> None:
    """Points by family, and the names of those that are told apart in their middle.

    Args:
        axes: to draw in; limits are set by the points.
        places: (models, 2).
        families: of the models.
    """
    marks = marks_of(families)
    of = np.array(families, dtype=object)
    rest = ~np.isin(of, list(marks))
    axes.scatter(places[rest, 0], places[rest, 1], s=3, color=OTHER, linewidth=0, zorder=2)
    middles = {}
    for family, (colour, marker) in marks.items():
        own = places[of == family]
        axes.scatter(own[:, 0], own[:, 1], s=5, color=colour, marker=marker, linewidth=0, alpha=0.8, zorder=3)
        middle = np.median(own, axis=0)
        middles[family] = own[np.square(own - middle).sum(1).argmin()]
    figure_of(axes).draw_without_rendering()
    x, y = zip(*middles.values(), strict=True)
    name_points(axes, list(x), list(y), list(middles), most=20)
