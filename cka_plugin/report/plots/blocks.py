"""Block structure: the heatmap with its runs outlined, what is left without the first component, and that component."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cka_plugin.analysis.blocks.result import Block, BlockStructure
from cka_plugin.core import Floats
from cka_plugin.report.plots.colour_scale import draw_cells, scale_of
from cka_plugin.report.plots.depth import hatch_missing
from cka_plugin.report.plots.frame import (
    BLUE,
    DEFAULT,
    RED,
    Frame,
    cut_to_height,
    new_figure,
    styled,
    titled,
)
from cka_plugin.report.plots.layer_axis import mark_stages, name_layers
from cka_plugin.report.stages import NamedLayer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_CKA = "CKA"
_DASHES = {"strong": "-", "weak": "--"}  # of the outlines of runs; of others dots


@styled
def blocks(
    found: BlockStructure,
    layers: Sequence[NamedLayer] = (),
    name: str = "",
    limits: tuple[float, float] | None = None,
    frame: Frame = DEFAULT,
) -> Figure:
    """A model's block structure and its cause, as figures 1 and 3 of Nguyen et al. 2021 show it.

    Four panels: CKA of its layers with runs outlined (dashed where the evidence is weak, dotted where layers are alike
    and not set off); CKA with the first principal component (PC) of every layer removed, on the same scale; squared
    cosines of first components; and the share of the variance that the first component holds along depth, blocks
    shaded. Where components are not known, the first panel alone.

    Args:
        found: what `find_block_structure` gives.
        layers: of the model, with `name` and `depth`; without any, none is named.
        name: of the model.
        limits: ends of the scale of both CKA.
        frame: width (`text` by default) and title.

    Returns:
        The figure.

    Raises:
        ValueError: axes were given: the panels fill a figure of their own.

    Source: arXiv 2010.15327, figures 1 and 3.

    Example:
        >>> from cka_plugin import find_block_structure
        >>> matrix = np.full((12, 12), 0.2); matrix[4:10, 4:10] = 0.95; np.fill_diagonal(matrix, 1)
        >>> figure = blocks(find_block_structure(matrix))
        >>> figure.axes[0].patches[0].get_xy(), figure.axes[0].patches[0].get_width()
        ((3.5, 3.5), 6)
    """
    frame.alone("blocks")
    width = frame.inches("text")
    verdict = f"block structure: {found.verdict}. {found.reason}"
    said = Frame(title="\n".join(part for part in (": ".join(filter(None, (name, verdict))), frame.title) if part))
    matrix, without, cosine, share = (
        found.matrix,
        found.matrix_without_first_component,
        found.first_component_cosine,
        found.first_component_share,
    )
    if without is None or cosine is None or share is None:
        figure = new_figure(width, width)
        panels = {_CKA: (figure.add_subplot(), matrix, scale_of([matrix], limits))}
    else:
        figure = new_figure(width, 1.2 * width)
        ((first, second), (third, fourth)) = figure.subplots(2, 2)
        scale = scale_of([matrix, without], limits)
        panels = {
            _CKA: (first, matrix, scale),
            "CKA without first PC": (second, without, scale),
            "cos² of first PCs": (third, cosine, scale_of([cosine])),
        }
        _share_along_depth(fourth, share, layers, found)
        fourth.set_title("variance in first PC", loc="left")
    titled(figure, said)
    for place, (title, (axes, values, scale)) in enumerate(panels.items()):
        image = draw_cells(axes, values, scale)
        mark_stages(axes, layers, layers, 0.6)
        for block in [*found.blocks, *found.other_runs]:
            _outline(axes, block)
        name_layers(axes, "x", layers if place == len(panels) - 1 else [], 18)
        name_layers(axes, "y", layers if place != 1 else [], 18)
        axes.set_title(title, loc="left")
        figure.colorbar(image, ax=axes, extend=scale.extend, fraction=0.046, pad=0.03)
    cut_to_height(figure, said)
    return figure


def _outline(axes: Axes, block: Block) -> None:
    from matplotlib.patches import Rectangle

    for width, color, dashes in ((2.4, "white", "-"), (1.2, RED, _DASHES.get(block.verdict, ":"))):
        corner = (block.start - 0.5, block.start - 0.5)
        box = Rectangle(corner, len(block), len(block), fill=False, edgecolor=color, linewidth=width, gid="run")
        box.set(linestyle=dashes)
        axes.add_patch(box)


def _share_along_depth(axes: Axes, share: Floats, layers: Sequence[NamedLayer], found: BlockStructure) -> None:
    for block in found.blocks:
        axes.axvspan(block.start - 0.5, block.stop - 0.5, color=RED, alpha=0.15, linewidth=0, gid="run")
    axes.plot(range(len(share)), share, color=BLUE, marker="o" if len(share) <= 60 else "")
    hatch_missing(axes, ~np.isfinite(share))
    axes.set_xlim(-0.5, len(share) - 0.5)
    axes.set_ylim(0, 1)
    axes.set_box_aspect(1)
    name_layers(axes, "x", layers, 18)
    if found.batch_size is not None:
        axes.set_ylabel(f"share (n = {found.batch_size})")
    axes.spines[["top", "right"]].set_visible(False)
