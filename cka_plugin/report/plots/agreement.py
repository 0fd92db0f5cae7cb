"""Do models predict alike, and do those that represent alike also err alike?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cka_plugin.analysis.errors.agreement import ErrorMatrices, SimilarityAndErrors
from cka_plugin.core import Floats
from cka_plugin.report.plots.colour_scale import scale_of
from cka_plugin.report.plots.frame import (
    BLUE,
    DEFAULT,
    MINUS,
    WIDE,
    Frame,
    axes_in,
    cut_to_height,
    new_figure,
    styled,
    titled,
)
from cka_plugin.report.plots.models import draw_models
from cka_plugin.report.plots.placing import name_points
from cka_plugin.tables import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = {"agreement": "agreement of predictions", "kappa": "kappa of correctness"}
_NAMED = 10  # pairs of models up to which each is named


@styled
def agreement(found: ErrorMatrices, which: str | None = None, frame: Frame = DEFAULT) -> Figure:
    """Share of examples that each pair of models predicts alike, and kappa of correctness beyond what chance gives.

    Args:
        found: what `error_matrices` gives.
        which: `agreement` or `kappa`; by default both, where labels tell what is correct, each with its scale.
        frame: axes (for one of the two), width and title.

    Returns:
        The figure.

    Raises:
        ValueError: neither of the two.

    Example:
        >>> from cka_plugin.analysis.errors.agreement import error_matrices
        >>> found = error_matrices({"x": [0, 1, 1, 0], "y": [0, 1, 0, 0], "z": [1, 1, 1, 1]}, [0, 1, 1, 1])
        >>> figure = agreement(found, "agreement")
        >>> figure.axes[0].images[0].get_array()[0].tolist()
        [1.0, 0.75, 0.5]
    """
    panels = _panels(which, found, frame)
    figure, all_axes = _axes(panels, frame, "column" if len(found.names) <= 12 else "text", height=1.3)
    for axes, name in zip(all_axes, panels, strict=True):
        matrix: Floats = getattr(found, name)
        scale = scale_of([matrix])
        image = draw_models(axes, matrix, found.names, scale)
        if len(panels) > 1:
            axes.set_title(SHOWN[name], loc="left")
        bar = None if len(panels) > 1 else SHOWN[name]
        figure.colorbar(image, ax=axes, label=bar, extend=scale.extend, fraction=0.046, pad=0.03)
    cut_to_height(figure, frame)
    return figure


@styled
def similarity_and_errors(
    similarity: Floats,
    errors: ErrorMatrices,
    found: SimilarityAndErrors,
    which: str | None = None,
    frame: Frame = DEFAULT,
) -> Figure:
    """Likeness of predictions against similarity of representations, a point for each pair of models.

    Over each panel stands the correlation with its Mantel p, which permutes models: pairs are not independent.

    Args:
        similarity: (models, models) mean CKA at equal depth.
        errors: what `error_matrices` gives for the same models.
        found: what `similarity_and_errors` gives for the two.
        which: `agreement` or `kappa`; by default both, where labels tell what is correct.
        frame: axes (for one of the two), width and title.

    Returns:
        The figure.

    Raises:
        ValueError: neither of the two; matrices of another number of models.

    Example:
        >>> from cka_plugin.analysis.errors import agreement as errors
        >>> predicted = {"x": [0, 1, 1, 0], "y": [0, 1, 0, 0], "z": [1, 1, 1, 1]}
        >>> made, alike = errors.error_matrices(predicted), np.full((3, 3), 0.5)
        >>> figure = similarity_and_errors(alike, made, errors.similarity_and_errors(alike, made))
        >>> figure.axes[0].collections[0].get_offsets()[:, 1].tolist()
        [0.75, 0.5, 0.25]
    """
    count = len(errors.names)
    if np.shape(similarity) != (count, count):
        raise ValueError(f"similarities of shape {np.shape(similarity)} for {count} models: expected one row a model")
    panels = _panels(which, errors, frame)
    figure, all_axes = _axes(panels, frame, "column", height=0.9)
    pairs = np.triu_indices(count, 1)
    names = [f"{errors.names[i]} – {errors.names[j]}" for i, j in zip(*pairs, strict=True)]
    for axes, panel in zip(all_axes, panels, strict=True):
        x, y = np.asarray(similarity)[pairs], np.asarray(getattr(errors, panel))[pairs]
        axes.scatter(x, y, s=12, color=BLUE, alpha=0.8, linewidth=0, zorder=3)
        axes.set_xlabel("mean CKA at equal depth")
        axes.set_ylabel(SHOWN[panel])
        axes.margins(0.12)
        axes.spines[["top", "right"]].set_visible(False)
        test = getattr(found, panel)
        said = (
            "not tested"
            if test.reason
            else f"r = {test.statistic:+.2f}, Mantel p = {short(test.p)}".replace("-", MINUS)
        )
        axes.set_title(said, loc="left")
    figure.draw_without_rendering()
    for axes, panel in zip(all_axes, panels, strict=True):
        x, y = np.asarray(similarity)[pairs], np.asarray(getattr(errors, panel))[pairs]
        known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        if len(known) <= _NAMED:
            name_points(axes, list(x[known]), list(y[known]), [names[place] for place in known], most=24)
    return figure


def _panels(which: str | None, found: ErrorMatrices, frame: Frame) -> list[str]:
    if which is not None and which not in SHOWN:
        raise ValueError(f"which = {which!r}: expected {' or '.join(map(repr, SHOWN))}")
    if which is not None:
        return [which]
    known = [name for name in SHOWN if np.isfinite(getattr(found, name)[np.triu_indices(len(found.names), 1)]).any()]
    return known[:1] if frame.ax is not None else known


def _axes(panels: Sequence[str], frame: Frame, default: str, height: float) -> tuple[Figure, list[Axes]]:
    """One axes a panel, side by side over the whole width or one over the other, or one in what was given."""
    if len(panels) == 1:
        figure, axes = axes_in(frame, default, height)
        return figure, [axes]
    width = frame.inches("text")
    shape = (1, len(panels)) if width >= WIDE else (len(panels), 1)
    figure = new_figure(width, height * width * shape[0] / shape[1])
    titled(figure, frame)
    return figure, list(figure.subplots(*shape))
