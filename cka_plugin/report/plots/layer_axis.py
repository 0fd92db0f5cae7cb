"""Layers along an axis: as many of their names as fit without touching, and where one stage ends and the next begins.

How many names fit is decided when the picture is drawn, from the length that the axis then has: the same picture is
right at one column, over a page, and in a window that somebody pulls wider.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from matplotlib.ticker import FuncFormatter, Locator

from cka_plugin.report.plots.frame import SMALL, abbreviated, figure_of
from cka_plugin.report.stages import NamedLayer, stage_starts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_APART = 1.25  # lines of text from one name to the next, in its size


def name_layers(axes: Axes, side: Literal["x", "y"], layers: Sequence[NamedLayer], most: int = 28) -> None:
    """Write the layers' names along the `x` or `y` axis, at 0, 1, 2, ...

    Args:
        axes: where.
        side: `x` (written upright) or `y`.
        layers: without any, nothing is written.
        most: letters of a name; longer ones are abbreviated.
    """
    names = abbreviated([layer.name for layer in layers], most)
    axis = axes.xaxis if side == "x" else axes.yaxis
    if not names:
        axis.set_ticks([])
        return
    axis.set_major_locator(_Fitting([layer.name for layer in layers]))
    axis.set_major_formatter(FuncFormatter(lambda place, _: _at(names, place)))
    axes.tick_params(side, labelrotation=90 if side == "x" else 0, labelsize=SMALL)


def mark_stages(axes: Axes, rows: Sequence[NamedLayer], columns: Sequence[NamedLayer], weight: float = 1.0) -> None:
    """Draw a line over a heatmap where a stage begins, dark within light, to be seen on any colour.

    Args:
        axes: of the heatmap.
        rows: layers upwards.
        columns: layers to the right.
        weight: of the lines; less in small panels.
    """
    for layers, line in ((rows, axes.axhline), (columns, axes.axvline)):
        for place in stage_starts([layer.name for layer in layers]):
            for width, color in ((0.9, "white"), (0.4, "black")):
                line(place - 0.5, color=color, linewidth=width * weight, alpha=0.85, gid="stage")


def fitting(names: Sequence[str], apart: float) -> list[int]:
    """Which of the layers get their names written, at least `apart` positions from one another.

    All where all fit; else the first layer of each stage and the last layer of all, then layers at equal steps.

    Example:
        >>> fitting([f"stages.{i // 50}.blocks.{i % 50}" for i in range(200)], 20)
        [0, 20, 50, 70, 100, 120, 150, 170, 199]
    """
    count = len(names)
    if apart <= 1.0:
        return list(range(count))
    step = next(step for step in _steps() if step >= apart)
    first = [0, *stage_starts(names), count - 1]
    within = [place for start, stop in itertools.pairwise(first) for place in range(start + step, stop, step)]
    taken: list[int] = []
    for place in [*first, *within]:
        if all(abs(place - other) >= apart for other in taken):
            taken.append(place)
    return sorted(taken)


def _steps() -> Any:
    size = 1
    while True:
        yield from (size, 2 * size, 5 * size // 2, 5 * size) if size > 1 else (1, 2, 3, 4, 5)
        size *= 10


class _Fitting(Locator):
    """Places the ticks of an axis of layers, from the length that it has when it is drawn."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def __call__(self) -> list[int]:
        axis: Any = self.axis
        low, high = sorted(axis.get_view_interval())
        box, figure = axis.axes.bbox, figure_of(axis.axes)
        pixels = box.width if axis.axis_name == "x" else box.height
        line = _APART * SMALL * figure.dpi / 72
        apart = line * (high - low) / max(pixels, 1.0)
        return [place for place in fitting(self.names, apart) if low <= place <= high]

    def tick_values(self, vmin: float, vmax: float) -> list[int]:
        return list(range(len(self.names)))


def _at(names: Sequence[str], place: float) -> str:
    index = round(place)
    return names[index] if 0 <= index < len(names) else ""
