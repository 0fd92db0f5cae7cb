"""Pictures of the layers of two models, or of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.core import Floats
from cka_plugin.report.kinds.asked import Given, Results, all_of, two_of
from cka_plugin.report.plots.frame import Frame
from cka_plugin.representation import UNTRAINED

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_heatmap(results: Results, models: Given, frame: Frame, measure: str = "cka", **options: Any) -> Figure:
    from cka_plugin.report.plots.heatmap import heatmap

    a, b = results.pair(*models)
    layers = results[a].shown_layers, results[b].shown_layers
    return heatmap(results.matrix(a, b, measure), layers, (a, b), bar=_called(measure), frame=frame, **options)


def draw_grid(results: Results, models: Given, frame: Frame, measure: str = "cka", **options: Any) -> Figure:
    from cka_plugin.report.plots.grid import grid

    names = all_of(results, models, "grid")
    layers = [results[name].shown_layers for name in names]

    def matrix(i: int, j: int) -> Floats:
        return results.matrix(names[i], names[j], measure)

    return grid(matrix, layers, names, bar=_called(measure), frame=frame, **options)


def draw_depth(
    results: Results, models: Given, frame: Frame, levels: bool | None = None, draws: int = 99, **options: Any
) -> Figure:
    """CKA along depth; levels: chance, and of a comparison made with `levels=True` untrained copies, input and labels.

    Levels are those of the unbiased CKA: none are drawn beside the biased one, which chance inflates.
    """
    from cka_plugin.report.plots.depth import Curve, depth

    a, b = two_of(results, models, "depth")
    if levels and results.estimator != "unbiased":
        raise ValueError(f"levels are of the unbiased CKA, and this comparison is of the {results.estimator} one")
    matrix = results.matrix(a, b)
    low, high = results.interval(a, b)
    rows = np.arange(len(matrix))
    nearest = np.array([[abs(x.depth - y.depth) for y in results.layers(b)] for x in results.layers(a)]).argmin(axis=1)
    best = np.where(np.isfinite(matrix), matrix, -np.inf).argmax(axis=1)
    curves = [
        Curve(said, matrix[rows, chosen], low[rows, chosen], high[rows, chosen])
        for said, chosen in ((f"best match in {b}", best), (f"{b} at equal depth", nearest))
    ]
    chance, others = None, {}
    if levels is not False and results.estimator == "unbiased":
        if levels or all(UNTRAINED in results[name].beside for name in (a, b)):
            found = results.levels(a, b, draws=draws)
            chance = np.array([row.chance for row in found.layers])
            for said, name in (("untrained copies", "untrained"), ("input", "input"), ("labels", "labels")):
                values = np.array([getattr(row, name) for row in found.layers], dtype=np.float64)
                if np.isfinite(values).any():
                    others[said] = values
        else:
            chance = results.chance(a, b, draws).best_level
    return depth(results[a].shown_layers, curves, chance, others, frame=frame, **options)


def draw_correspondence(results: Results, models: Given, frame: Frame, **options: Any) -> Figure:
    from cka_plugin.report.plots.correspondence import correspondence

    a, b = two_of(results, models, "correspondence")
    layers = results.layers(a), results.layers(b)
    shown = results[a].shown_layers, results[b].shown_layers
    return correspondence(results.correspondence(a, b), layers, (a, b), shown, frame=frame, **options)


def _called(measure: str) -> str:
    return "CKA" if measure == "cka" else measure
