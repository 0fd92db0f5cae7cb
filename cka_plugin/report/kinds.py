"""The kinds of pictures of a comparison, by name: what `Comparison.plot(kind, ...)` draws, and what of.

What is drawn from stands below `Results`: a `Comparison` has all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from cka_plugin.core import Floats
from cka_plugin.report.plots.frame import Frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Model(Protocol):
    """What is asked of a model that was compared."""

    @property
    def shown_layers(self) -> Any:
        """Its layers as pictures name them."""


class Results(Protocol):
    """What pictures are drawn from."""

    @property
    def names(self) -> list[str]:
        """Of the models."""

    def __getitem__(self, name: str, /) -> Model: ...

    def pair(self, a: str | None, b: str | None) -> tuple[str, str]:
        """The two models meant."""

    def matrix(self, a: str | None = None, b: str | None = None, measure: str = "cka", **options: Any) -> Floats:
        """Similarity of their layers."""


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


KINDS: dict[str, Kind] = {"heatmap": _heatmap, "grid": _grid}
