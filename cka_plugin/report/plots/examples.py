"""Single examples: those that two models place most differently, and those that make a block."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.analysis.examples.result import ExampleComparison, PlacedExample
from cka_plugin.report.plots.frame import (
    BLUE,
    DEFAULT,
    LETTER,
    ORANGE,
    RED,
    SMALL,
    Frame,
    axes_in,
    distinct,
    elided,
    legend_above,
    new_figure,
    styled,
    titled,
)
from cka_plugin.wording import for_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 20
_ROW, _PICTURED = 0.15, 0.27  # inches of a row, and of one with its picture
_IMAGE = 0.62  # inches of a thumbnail, about


@styled
def examples(
    found: ExampleComparison, pictures: Mapping[Any, Any] | None = None, most: int = MOST, frame: Frame = DEFAULT
) -> Figure:
    """The examples that two models place most differently, the worst on top.

    A point is the mean alignment over layers at equal depth, the line reaches to the lowest of them. In the grey area
    lie 95% of examples that have nothing to do with one another. What either model gets wrong, or that dominates first
    components, is marked.

    Args:
        found: what `Comparison.examples` gives.
        pictures: images (PIL, or arrays) by example id, drawn beside their rows; texts stand under the ids.
        most: how many examples.
        frame: axes, width and title.

    Returns:
        The figure.

    Raises:
        ValueError: `most` below 1.

    Source: Kolling et al. 2023, pointwise kernel alignment.

    Example:
        >>> import torch, cka_plugin as cka
        >>> from torch import nn
        >>> nets = {name: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)) for name in "ab"}
        >>> found = cka.compare(nets, data=torch.randn(80, 8), progress=False).examples("a", "b", draws=3)
        >>> figure = examples(found, most=5)
        >>> len(figure.axes[0].get_yticks()), figure.axes[0].get_yticklabels()[-1].get_text() == str(
        ...     found.examples[0].example_id)
        (5, True)
    """
    if most < 1:
        raise ValueError(f"most = {most}: expected 1 or more examples")
    rows = [row for row in found.examples if math.isfinite(row.alignment)][:most][::-1]
    images = [_image((pictures or {}).get(row.example_id)) for row in rows]
    row_height = _ROW if all(image is None for image in images) else _PICTURED
    figure, axes = axes_in(frame, "column", height=(0.9 + row_height * len(rows)) / frame.inches("column"))
    axes.axvspan(-1.0, found.chance, color="0.9", linewidth=0, zorder=0, label="by chance (95%)")
    for place, row in enumerate(rows):
        axes.plot((row.lowest, row.alignment), (place, place), color="0.6", linewidth=0.8, gid="reach")
    for label, color, marker, chosen in _groups(found.names, rows):
        if chosen:
            at = [rows[place].alignment for place in chosen]
            axes.scatter(at, chosen, s=14, color=color, marker=marker, linewidth=0, label=label, zorder=3)
    names = distinct([str(row.example_id) for row in rows], 22)
    classes = ["" if row.label is None else f" ({elided(row.label, 14)})" for row in rows]
    axes.set_yticks(range(len(rows)), [f"{name}{label}" for name, label in zip(names, classes, strict=True)])
    values = [value for row in rows for value in (row.lowest, row.alignment)] + [found.chance, 0.0]
    reach = max(0.05, max(values) - min(values))
    axes.set_xlim(min(values) - 0.05 * reach, min(1.02, max(values) + 0.08 * reach))
    axes.set_ylim(-0.7, len(rows) - 0.3)
    a, b = (elided(name, 18) for name in found.names)
    axes.set_xlabel(f"alignment of {a}\nand {b} (1: placed alike)")
    axes.spines[["top", "right"]].set_visible(False)
    _beside(axes, images)
    legend_above(axes)
    return figure


@styled
def dominant(
    pictures: Sequence[Any], captions: Sequence[str], weights: Sequence[float] = (), frame: Frame = DEFAULT
) -> Figure:
    """The examples that dominate the first components of a run of layers, the most dominant first: a strip.

    Args:
        pictures: one an example: an image (PIL, or an array), a text, or None where there is neither.
        captions: one an example: its id, its class.
        weights: how far each lies along the component, as multiples of the median example; written above.
        frame: width (`text` by default) and title.

    Returns:
        The figure.

    Raises:
        ValueError: no examples, or other numbers of captions or weights; axes were given.

    Example:
        >>> figure = dominant([np.zeros((8, 8)), "a text", None], ["cat.png", "7", "8"], weights=[9.0, 8.5, 2.0])
        >>> [bool(axes.images) for axes in figure.axes], figure.axes[0].get_title()
        ([True, False, False], '9.0×')
    """
    frame.alone("dominant")
    count = len(pictures)
    if count == 0 or len(captions) != count or len(weights) not in (0, count):
        raise ValueError(
            f"{count} pictures, {len(captions)} captions and {len(weights)} weights: expected as many of each, at least"
            " one, or no weights"
        )
    width = frame.inches("text")
    columns = min(count, max(1, int(width / _IMAGE)))
    rows = math.ceil(count / columns)
    figure = new_figure(width, rows * (width / columns + 0.45) + 0.3)
    titled(figure, frame)
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    side = 0.8 * width * 72 / columns  # points of a cell, about
    letters = max(6, int(side / (SMALL * LETTER)))
    for place, axes in enumerate(all_axes):
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_box_aspect(1)
        if place >= count:
            axes.set_axis_off()
            continue
        _fill(axes, pictures[place], letters, max(1, int(side / (1.3 * SMALL))))
        axes.set_xlabel("\n".join(elided(line, letters) for line in captions[place].split("\n")), fontsize=SMALL)
        if len(weights):
            axes.set_title(f"{weights[place]:.1f}×", fontsize=SMALL)
    return figure


def _groups(names: tuple[str, str], rows: Sequence[PlacedExample]) -> list[tuple[str, str, str, list[int]]]:
    """Label, colour and marker of each group of rows that there is, and their places."""
    a, b = (elided(name, 14) for name in names)
    places: dict[tuple[str, str, str], list[int]] = {
        ("dominant", "black", "*"): [],
        ("both wrong", ORANGE, "D"): [],
        (f"{a} wrong", RED, "s"): [],
        (f"{b} wrong", "#CC79A7", "^"): [],
        ("neither wrong" if any(row.correct_a is not None for row in rows) else "examples", BLUE, "o"): [],
    }
    keys = list(places)
    for place, row in enumerate(rows):
        wrong = (row.correct_a is False, row.correct_b is False)
        which = 0 if row.dominant else {(True, True): 1, (True, False): 2, (False, True): 3}.get(wrong, 4)
        places[keys[which]].append(place)
    return [(*key, chosen) for key, chosen in places.items()]


def _beside(axes: Axes, images: Sequence[Any]) -> None:
    """Draw an image beside each row that has one."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    for place, image in enumerate(images):
        if image is not None:
            zoom = 72 * _PICTURED * 0.9 / max(image.shape[:2])
            box = OffsetImage(image, zoom=zoom, cmap="gray", interpolation="nearest", dpi_cor=True)
            across = ("axes fraction", "data")
            note = AnnotationBbox(box, (1.0, place), xycoords=across, frameon=False, box_alignment=(0.0, 0.5), pad=0.1)
            note.set_gid("picture")
            axes.add_artist(note)


def _show(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image, cmap="gray", interpolation="nearest" if max(image.shape) < 100 else None)
    axes.set_xticks([])
    axes.set_yticks([])


def _fill(axes: Axes, picture: Any, letters: int, most: int) -> None:
    """Draw an image, or as many lines of a text as fit."""
    image = _image(picture)
    if image is not None:
        _show(axes, image)
        return
    text = picture if isinstance(picture, str) else ""
    lines = textwrap.wrap(text, letters)[:most] or ["no picture"]
    axes.text(0.5, 0.5, "\n".join(map(for_plot, lines)), ha="center", va="center", fontsize=SMALL, color="0.2")
    axes.set_facecolor("0.96")


def _image(picture: Any) -> np.ndarray | None:
    """An image as (height, width) or (height, width, 3); None for what is no image."""
    if picture is None or isinstance(picture, str):
        return None
    pixels = np.asarray(picture)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    return pixels if fits and pixels.size else None
