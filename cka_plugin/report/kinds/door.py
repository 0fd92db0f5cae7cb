"""Every kind of picture of a comparison by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cka_plugin.report.kinds import components, examples, layers, models
from cka_plugin.report.kinds.asked import Given, Results
from cka_plugin.report.plots.frame import Frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_GRID = 12  # models of whose pairs the heatmaps are drawn where no kind is named; of more, the models


@dataclass(frozen=True)
class Kind:
    """A kind of picture.

    Attributes:
        of: `one` model, `two`, or `all` of a comparison.
        draw: draws it, from a comparison, the models named and where it is drawn, with the kind's own options.
    """

    of: str
    draw: Callable[..., Figure]


KINDS = {
    "heatmap": Kind("two", layers.draw_heatmap),
    "grid": Kind("all", layers.draw_grid),
    "depth": Kind("two", layers.draw_depth),
    "correspondence": Kind("two", layers.draw_correspondence),
    "models": Kind("all", models.draw_models),
    "model_map": Kind("all", models.draw_model_map),
    "blocks": Kind("one", components.draw_blocks),
    "projections": Kind("one", components.draw_projections),
    "dominant": Kind("one", components.draw_dominant),
    "examples": Kind("two", examples.draw_examples),
    "classes": Kind("two", examples.draw_classes),
    "agreement": Kind("all", models.draw_agreement),
    "similarity_and_errors": Kind("all", models.draw_similarity_and_errors),
    "summary": Kind("all", models.draw_summary),
}


def draw(results: Results, kind: str | None, named: Given, frame: Frame, options: Mapping[str, Any]) -> Figure:
    """Draw a kind of picture.

    Args:
        results: what it is drawn from.
        kind: its name; None for the heatmap of a pair; where none is named, the grid of more than two models, and of
            more than 12 `models`.
        named: the two models that were named, or None.
        frame: axes, width and title.
        options: of the kind.

    Raises:
        ValueError: no such kind; the message lists those there are. What cannot be drawn of these models.
        TypeError: an option that the kind does not have.
        ModuleNotFoundError: matplotlib is not installed.
    """
    if kind is None:
        several = named == (None, None) and len(results.names) > 2
        kind = ("grid" if len(results.names) <= _GRID else "models") if several else "heatmap"
    if kind not in KINDS:
        raise ValueError(f"no kind of picture is called {kind!r}: there are {', '.join(KINDS)}")
    return KINDS[kind].draw(results, named, frame, **options)
