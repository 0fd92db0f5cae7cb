"""Every kind of picture of a comparison by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cka_plugin.report.kinds import components, examples, layers, models
from cka_plugin.report.kinds.asked import Given, Results
from cka_plugin.report.plots.frame import Frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Callable[..., "Figure"]

KINDS: dict[str, Kind] = {
    "heatmap": layers.draw_heatmap,
    "grid": layers.draw_grid,
    "depth": layers.draw_depth,
    "correspondence": layers.draw_correspondence,
    "models": models.draw_models,
    "model_map": models.draw_model_map,
    "blocks": components.draw_blocks,
    "projections": components.draw_projections,
    "dominant": components.draw_dominant,
    "examples": examples.draw_examples,
    "classes": examples.draw_classes,
    "agreement": models.draw_agreement,
    "similarity_and_errors": models.draw_similarity_and_errors,
    "summary": models.draw_summary,
}


def draw(results: Results, kind: str | None, models: Given, frame: Frame, options: Mapping[str, Any]) -> Figure:
    """Draw a kind of picture.

    Args:
        results: what it is drawn from.
        kind: its name; None for the heatmap of a pair, or the grid of more than two models where none is named.
        models: the two that were named, or None.
        frame: axes, width and title.
        options: of the kind.

    Raises:
        ValueError: no such kind; the message lists those there are. What cannot be drawn of these models.
        TypeError: an option that the kind does not have.
        ModuleNotFoundError: matplotlib is not installed.
    """
    if kind is None:
        kind = "grid" if models == (None, None) and len(results.names) > 2 else "heatmap"
    if kind not in KINDS:
        raise ValueError(f"no kind of picture is called {kind!r}: there are {', '.join(KINDS)}")
    return KINDS[kind](results, models, frame, **options)
