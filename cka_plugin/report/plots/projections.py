"""How far each example lies along the first principal component of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cka_plugin.core import Floats
from cka_plugin.report.plots.depth import hatch_missing
from cka_plugin.report.plots.frame import BLUE, DEFAULT, RED, Frame, axes_in, legend_above, styled
from cka_plugin.report.plots.layer_axis import name_layers
from cka_plugin.report.stages import NamedLayer, stage_starts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_LINES = 40
_BINS = 40
_LOW = 0.05  # smaller projections than this share of the examples have are told apart by chance alone
_BANDS = ((_LOW, 1 - _LOW, 0.15, "9 of 10 examples"), (0.25, 0.75, 0.4, "half of them"))


@styled
def projections(
    sizes: Floats,
    layers: Sequence[NamedLayer],
    dominant: npt.NDArray[np.intp] | Sequence[int] = (),
    runs: Sequence[tuple[int, int]] = (),
    frame: Frame = DEFAULT,
) -> Figure:
    """Sizes of the examples' projections on the first component, layer by layer; to the right, all of them counted.

    Where a few examples make the component, they lie orders of magnitude above the rest (lines), and the counts have
    two humps. The counts are of the layers within `runs`, or of all.

    Args:
        sizes: (layers, n_examples), of unit mean square in each layer, as `dominance` gives them; NaN for dead layers.
        layers: of the model, with `name` and `depth`.
        dominant: positions of the examples that dominate, which are drawn one by one.
        runs: (start, stop) of blocks, which are shaded.
        frame: axes, width and title.

    Returns:
        The figure.

    Raises:
        ValueError: sizes of another number of layers.

    Source: Nguyen, Raghu & Kornblith 2022 (arXiv 2202.07184), on the origins of the block structure.

    Example:
        >>> from cka_plugin.adapters.base import Layer
        >>> net = [Layer(f"blocks.{i}", f"{i}", "block", i / 2) for i in range(3)]
        >>> sizes = np.ones((3, 100)); sizes[:, 7] = 50
        >>> figure = projections(sizes, net, dominant=[7])
        >>> [line.get_ydata().tolist() for line in figure.axes[0].lines if line.get_gid() == "dominant"]
        [[50.0, 50.0, 50.0]]
    """
    if np.ndim(sizes) != 2 or len(sizes) != len(layers):
        raise ValueError(f"sizes of shape {np.shape(sizes)} for {len(layers)} layers: expected (layers, n_examples)")
    figure, axes = axes_in(frame, "text", height=0.9, wide=0.5)
    places = np.arange(len(layers))
    floor = float(np.nanquantile(sizes, _LOW / 2))
    alive = np.isfinite(sizes).all(axis=1)
    shown = np.maximum(sizes, max(floor, 1e-6))  # a projection of 0 has no logarithm
    for low, high, alpha, said in _BANDS:
        ends = np.full((2, len(layers)), np.nan)
        ends[:, alive] = np.quantile(shown[alive], [low, high], axis=1)
        axes.fill_between(places, *ends, color=BLUE, alpha=alpha, linewidth=0, label=said)
    axes.plot(places, shown.max(axis=1), color="0.3", linewidth=0.8, linestyle=":", label="largest")
    few = list(dominant)[:_MOST_LINES]
    for example in few:
        name = f"{len(few)} dominant examples" if example == few[0] else None
        axes.plot(places, shown[:, example], color=RED, linewidth=0.6, alpha=0.7, label=name, gid="dominant")
    for start, stop in runs:
        axes.axvspan(start - 0.5, stop - 0.5, color="0.92", linewidth=0, zorder=0, gid="run")
    hatch_missing(axes, ~alive)
    for start in stage_starts([layer.name for layer in layers]):
        axes.axvline(start - 0.5, color="0.8", linewidth=0.5, zorder=0, gid="stage")
    axes.set_yscale("log")
    axes.set_xlim(-0.5, len(layers) - 0.5)
    name_layers(axes, "x", layers, 22)
    axes.set_ylabel("projection on the first component, size")
    axes.spines[["top", "right"]].set_visible(False)
    counted = np.unique([place for start, stop in runs for place in range(start, stop)]).astype(int) if runs else places
    _count(axes, shown[counted])
    legend_above(axes)
    return figure


def _count(axes: Axes, sizes: Floats) -> None:
    finite = sizes[np.isfinite(sizes) & (sizes > np.nanmin(sizes))]  # without those drawn at the lower edge
    beside = axes.inset_axes((1.02, 0.0, 0.16, 1.0))
    beside.set_yscale("log")
    beside.set_ylim(axes.get_ylim())
    low, high = float(finite.min()), float(finite.max())
    bins = np.geomspace(low, max(high, low * 1.001), _BINS + 1)
    beside.hist(finite, bins=list(bins), orientation="horizontal", color=BLUE, alpha=0.6)
    beside.set_xscale("log")
    beside.set_yticks([])
    beside.minorticks_off()
    beside.set_xlabel("count")
    beside.spines[["top", "right"]].set_visible(False)
    beside.locator_params(axis="x", numticks=3)
