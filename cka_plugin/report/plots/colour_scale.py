"""One colour scale for all panels of a picture, chosen to show what there is.

Nearly all CKA of related layers lies between 0.6 and 1: on a scale from 0 to 1 that is one hue. So the scale spans what
the matrices hold, in round numbers which the colour bar shows; what few cells lie outside have the colour of its end,
and the end of the bar is pointed. The colours are matplotlib's viridis, even to the eye (equal steps look equal) and
told apart by readers with any colour vision (Smith & van der Walt 2015, https://bids.github.io/colormap/).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cka_plugin.core import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.image import AxesImage

COLOURS = "viridis"
HATCH = "//////"
_FEW = 0.01  # of the cells may lie beyond either end
_BEYOND = 0.25  # of [0, 1], where similarities lie but for their noise
_NARROWEST = 0.05  # a scale, so that differences of no account do not look like some


@dataclass(frozen=True)
class Scale:
    """Ends of a colour scale, and whether cells lie beyond them."""

    low: float
    high: float
    below: bool = False
    above: bool = False

    @property
    def extend(self) -> str:
        """Which ends of the colour bar are pointed."""
        return {(True, True): "both", (True, False): "min", (False, True): "max"}.get(
            (self.below, self.above), "neither"
        )


def scale_of(matrices: Sequence[Floats], limits: tuple[float, float] | None = None) -> Scale:
    """The scale on which matrices of similarities are drawn.

    Its ends are round numbers that hold 98% of the cells, within [0, 1] unless a measure goes far beyond. Of a model
    with itself the diagonal, which is 1, does not count, but the scale ends there.

    Args:
        matrices: of all panels, NaN where there is no similarity.
        limits: the ends, where they are wanted so.

    Raises:
        ValueError: limits that are not two numbers, the lower first.

    Example:
        >>> scale_of([np.linspace(0.62, 0.99, 400).reshape(20, 20)])
        Scale(low=0.6, high=1.0, below=False, above=False)
    """
    cells = [_counted(np.asarray(matrix, dtype=np.float64)) for matrix in matrices]
    values = np.concatenate(cells) if cells else np.array([])
    if limits is not None:
        low, high = limits
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"limits {limits!r}: expected two numbers, the lower first, such as (0, 1)")
    elif not values.size:
        low, high = 0.0, 1.0
    else:
        low, high = _ends(*np.quantile(values, [_FEW, 1 - _FEW]))
        if any(_with_itself(matrix) for matrix in matrices):
            low, high = min(low, 1.0 - _NARROWEST), 1.0
    everything = [matrix[np.isfinite(matrix)] for matrix in map(np.asarray, matrices)]
    tolerance = 1e-6  # of a similarity to itself
    return Scale(
        low,
        high,
        below=any((part < low - tolerance).any() for part in everything),
        above=any((part > high + tolerance).any() for part in everything),
    )


def colours() -> Colormap:
    """The colours; cells without a similarity let the hatching through."""
    from matplotlib import colormaps

    return colormaps[COLOURS].with_extremes(bad=(1.0, 1.0, 1.0, 0.0))


def on_white() -> Colormap:
    """The colours for lines and points on a white page, without the light end."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps[COLOURS](np.linspace(0.0, 0.86, 256)), name="on_white")


def draw_cells(axes: Axes, matrix: Floats, scale: Scale) -> AxesImage:
    """Draw a matrix, its first row at the bottom; what has no similarity is hatched."""
    shown = np.ma.masked_invalid(matrix)
    image = axes.imshow(shown, origin="lower", cmap=colours(), vmin=scale.low, vmax=scale.high, aspect="auto")
    axes.set_box_aspect(1)
    if np.ma.getmaskarray(shown).any():
        axes.patch.set(facecolor="0.93", edgecolor="0.35", hatch=HATCH, linewidth=0)
    return image


def _counted(matrix: Floats) -> Floats:
    """The finite cells of a matrix; of a model with itself, without the diagonal of ones."""
    finite = np.isfinite(matrix)
    return matrix[finite & ~np.eye(len(matrix), dtype=bool) if _with_itself(matrix) else finite]


def _with_itself(matrix: Floats) -> bool:
    """Whether a matrix is of one model with itself, by its diagonal of ones."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        return False
    diagonal = np.diagonal(matrix)[np.isfinite(np.diagonal(matrix))]
    return len(diagonal) > 1 and bool(np.allclose(diagonal, 1.0, atol=1e-6))


def _ends(low: float, high: float) -> tuple[float, float]:
    """Round numbers around what there is, within [0, 1] but for measures that mean something beyond."""
    if low < -_BEYOND or high > 1.0 + _BEYOND:
        step = 10.0 ** math.floor(math.log10(max(high - low, 1e-9)))
        return math.floor(round(low / step, 6)) * step, (math.floor(round(high / step, 6)) + 1) * step
    low, high = min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0)
    step = next((step for step in (0.01, 0.02, 0.05) if high - low <= 10 * step), 0.1)
    low, high = math.floor(round(low / step, 6)) * step, math.ceil(round(high / step, 6)) * step
    while high - low < _NARROWEST - 1e-9:
        low, high = (low, high + step) if high + step <= 1.0 + 1e-9 else (low - step, high)
    return round(low, 6), round(high, 6)
