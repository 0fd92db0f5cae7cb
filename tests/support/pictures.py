"""What a picture holds once it is drawn: its texts, and which of them touch or leave the page."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from cka_plugin.adapters.base import Layer

SMALLEST = 6.0  # points


def layers(count: int, stages: int = 4) -> list[Layer]:
    """Layers of a network of equal stages."""
    per = -(-count // stages)
    return [
        Layer(f"stages.{i // per}.blocks.{i % per}", f"net.{i}", "block", i / max(count - 1, 1)) for i in range(count)
    ]


def texts(figure: Figure) -> list[Text]:
    """All texts that are shown, ticks too, after drawing."""
    figure.draw_without_rendering()
    shown = [*figure.texts, *([figure._suptitle] if figure._suptitle else [])]
    shown += [text for legend in figure.legends for text in legend.get_texts()]
    for axes in all_axes(figure):
        shown += [axes.title, axes._left_title, axes._right_title, *axes.texts]
        if (legend := axes.get_legend()) is not None:
            shown += [*legend.get_texts(), legend.get_title()]
        if axes.axison:
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                shown += [axis.label, axis.get_offset_text()]
                slack = 1e-6 * (high - low)
                for tick in axis.get_major_ticks():
                    if low - slack <= tick.get_loc() <= high + slack:
                        shown += [tick.label1, tick.label2]
    unique = {id(text): text for text in shown if text.get_visible() and text.get_text().strip()}
    return list(unique.values())


def all_axes(figure: Figure) -> Iterator[Axes]:
    """The axes of a figure and those within them."""
    for axes in figure.axes:
        yield axes
        yield from (child for child in axes.child_axes if child not in figure.axes)


def faults(figure: Figure) -> list[str]:
    """Texts that touch one another, leave the page, or are smaller than 6 points."""
    shown = texts(figure)
    renderer = figure._get_renderer()
    boxes = [text.get_window_extent(renderer) for text in shown]
    point = figure.dpi / 72
    found = [
        f"{text.get_text()!r} has {text.get_fontsize()} points" for text in shown if text.get_fontsize() < SMALLEST
    ]
    for text, box in zip(shown, boxes, strict=True):
        page = figure.bbox
        if min(box.x0, box.y0) < -point / 2 or box.x1 > page.x1 + point / 2 or box.y1 > page.y1 + point / 2:
            found.append(f"{text.get_text()!r} leaves the page")
    for (one, a), (other, b) in itertools.combinations(zip(shown, boxes, strict=True), 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        up = min(a.y1, b.y1) - max(a.y0, b.y0)
        if min(across, up) > point / 2:
            found.append(f"{one.get_text()!r} and {other.get_text()!r} touch")
    return found
