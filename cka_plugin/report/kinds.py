"""The kinds of pictures of a comparison, by name: what `Comparison.plot(kind, ...)` draws, and what of.

What is drawn from stands below `Results`: a `Comparison` has all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cka_plugin.core import Floats
from cka_plugin.report.plots.frame import Frame
from cka_plugin.wording import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cka_plugin.analysis.blocks.result import BlockStructure
    from cka_plugin.analysis.correspondence import Correspondence
    from cka_plugin.analysis.levels.chance import ChanceLevel


class Model(Protocol):
    """What is asked of a model that was compared."""

    @property
    def shown_layers(self) -> Any:
        """Its layers as pictures name them."""


class Results(Protocol):
    """What pictures are drawn from: the methods of `Comparison` of these names."""

    @property
    def names(self) -> list[str]:
        """Of the models."""

    def __getitem__(self, name: str, /) -> Model: ...

    def layers(self, name: str) -> Any: ...

    def pair(self, a: str | None, b: str | None) -> tuple[str, str]: ...

    def matrix(self, a: str | None = None, b: str | None = None, measure: str = "cka") -> Floats: ...

    def interval(self, a: str | None = None, b: str | None = None) -> tuple[Floats, Floats]: ...

    def correspondence(self, a: str | None = None, b: str | None = None) -> Correspondence: ...

    def models(self) -> Floats: ...

    def chance(self, a: str | None = None, b: str | None = None, draws: int = 199) -> ChanceLevel: ...

    def block_structure(self, name: str | None = None) -> BlockStructure: ...


Given = tuple[str | None, str | None]
Kind = Callable[..., "Figure"]


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


def _heatmap(results: Results, models: Given, frame: Frame, measure: str = "cka", **options: Any) -> Figure:
    from cka_plugin.report.plots.heatmap import heatmap

    a, b = results.pair(*models)
    layers = results[a].shown_layers, results[b].shown_layers
    return heatmap(results.matrix(a, b, measure), layers, (a, b), bar=_called(measure), frame=frame, **options)


def _grid(results: Results, models: Given, frame: Frame, measure: str = "cka", **options: Any) -> Figure:
    from cka_plugin.report.plots.grid import grid

    names = _all(results, models, "grid")
    layers = [results[name].shown_layers for name in names]

    def matrix(i: int, j: int) -> Floats:
        return results.matrix(names[i], names[j], measure)

    return grid(matrix, layers, names, bar=_called(measure), frame=frame, **options)


def _all(results: Results, models: Given, kind: str) -> list[str]:
    if models != (None, None):
        raise ValueError(f"{kind!r} is a picture of all models, not of one or two: leave their names out")
    return results.names


def _called(measure: str) -> str:
    return "CKA" if measure == "cka" else measure


def _depth(
    results: Results, models: Given, frame: Frame, chance: bool = True, draws: int = 99, **options: Any
) -> Figure:
    from cka_plugin.report.plots.depth import Curve, depth

    a, b = _two(results, models, "depth")
    matrix = results.matrix(a, b)
    low, high = results.interval(a, b)
    rows = np.arange(len(matrix))
    nearest = np.array([[abs(x.depth - y.depth) for y in results.layers(b)] for x in results.layers(a)]).argmin(axis=1)
    best = np.where(np.isfinite(matrix), matrix, -np.inf).argmax(axis=1)
    curves = [
        Curve(said, matrix[rows, chosen], low[rows, chosen], high[rows, chosen])
        for said, chosen in ((f"best match in {b}", best), (f"{b} at equal depth", nearest))
    ]
    level = results.chance(a, b, draws).best_level if chance else None
    return depth(results[a].shown_layers, curves, level, frame=frame, **options)


def _correspondence(results: Results, models: Given, frame: Frame, **options: Any) -> Figure:
    from cka_plugin.report.plots.correspondence import correspondence

    a, b = _two(results, models, "correspondence")
    layers = results.layers(a), results.layers(b)
    shown = results[a].shown_layers, results[b].shown_layers
    return correspondence(results.correspondence(a, b), layers, (a, b), shown, frame=frame, **options)


def _models(results: Results, models: Given, frame: Frame, **options: Any) -> Figure:
    from cka_plugin.report.plots.models import models as draw_models

    names = _all(results, models, "models")
    return draw_models(results.models(), names, frame=frame, **options)


def _model_map(results: Results, models: Given, frame: Frame, **options: Any) -> Figure:
    from cka_plugin.report.plots.models import model_map

    names = _all(results, models, "model_map")
    return model_map(results.models(), names, frame=frame, **options)


def _blocks(results: Results, models: Given, frame: Frame, **options: Any) -> Figure:
    from cka_plugin.report.plots.blocks import blocks

    name = _one(results, models, "blocks")
    return blocks(results.block_structure(name), results[name].shown_layers, name, frame=frame, **options)


def _one(results: Results, models: Given, kind: str) -> str:
    a, b = models
    if b is not None:
        raise ValueError(f"{kind!r} is a picture of one model: given {a!r} and {b!r}")
    if a is None and len(results.names) > 1:
        raise ValueError(f"{kind!r} is a picture of one model: say which, of {listed(results.names)}")
    return results.names[0] if a is None else a


def _two(results: Results, models: Given, kind: str) -> tuple[str, str]:
    a, b = results.pair(*models)
    if a == b:
        raise ValueError(f"{kind!r} is a picture of two models: given {a!r} alone")
    return a, b


KINDS: dict[str, Kind] = {
    "heatmap": _heatmap,
    "grid": _grid,
    "depth": _depth,
    "correspondence": _correspondence,
    "models": _models,
    "model_map": _model_map,
    "blocks": _blocks,
}
