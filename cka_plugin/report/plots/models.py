"""Whole models side by side: their similarities clustered, and as a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.core import Floats
from cka_plugin.report.plots.colour_scale import Scale, draw_cells, scale_of
from cka_plugin.report.plots.families import MANY, draw_families, name_runs
from cka_plugin.report.plots.frame import (
    BLUE,
    DEFAULT,
    SMALL,
    Frame,
    axes_in,
    cut_to_height,
    distinct,
    figure_of,
    styled,
)
from cka_plugin.report.plots.placing import name_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_NARROW = 0.1  # a scale on which two decimals would not tell cells apart
_WRITTEN = 12  # models up to which the numbers stand in the cells
_ORDERED = 300  # models up to which leaves are put in the best order, which takes the square of their number and more


@styled
def models(
    similarity: Floats,
    names: Sequence[str],
    limits: tuple[float, float] | None = None,
    bar: str = "mean CKA at equal depth",
    families: Sequence[str] | None = None,
    frame: Frame = DEFAULT,
) -> Figure:
    """How alike models are, each with each other, those most alike side by side under a tree of clusters.

    The tree joins clusters by their mean angle, arccos of the similarity (average linkage); its height is that angle.
    Models without a similarity (NaN) come last, hatched. Of more than 45 models, whose names would touch, the families
    of neighbours are named where they have room.

    Args:
        similarity: (models, models), as `Comparison.models` gives it.
        names: of the models.
        limits: ends of the colour scale; by default what the matrix holds.
        bar: what the colour bar says.
        families: of the models, for pictures of very many.
        frame: axes, width and title.

    Returns:
        The figure.

    Raises:
        ValueError: fewer than two models.

    Example:
        >>> alike = np.array([[1.0, 0.2, 0.9], [0.2, 1.0, 0.3], [0.9, 0.3, 1.0]])
        >>> figure = models(alike, ["a", "b", "c"])
        >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
        ['b', 'c', 'a']
    """
    count = _count(similarity, names, "models")
    order, tree = clustered(similarity)
    figure, axes = axes_in(frame, "column" if count <= _WRITTEN else "text", height=1.5)
    matrix = np.asarray(similarity)[np.ix_(order, order)]
    scale = scale_of([matrix], limits)
    image = draw_models(axes, matrix, [names[place] for place in order], scale)
    figure.colorbar(image, ax=axes, label=bar, extend=scale.extend, fraction=0.05, pad=0.03)
    if count > MANY and families is not None:
        name_runs(axes, [families[place] for place in order])
    if tree:
        _draw_tree(axes, tree, count)
    cut_to_height(figure, frame)
    return figure


@styled
def model_map(
    similarity: Floats, names: Sequence[str], families: Sequence[str] | None = None, frame: Frame = DEFAULT
) -> Figure:
    """Models as points on a map: the nearer, the more alike.

    Distances are angles, arccos of the similarity in degrees, laid out in the plane by classical scaling; the axes say
    what share of the squared distances each shows. Of more than 45 models families are told by colours and markers,
    and named in their middle.

    Args:
        similarity: (models, models), as `Comparison.models` gives it; a model without similarities is left out.
        names: of the models.
        families: of the models, for maps of very many.
        frame: axes, width and title.

    Returns:
        The figure.

    Raises:
        ValueError: fewer than two models.

    Source: Torgerson 1952; angles of similarities: Williams et al. 2021 (arXiv 2110.14739).

    Example:
        >>> figure = model_map(np.array([[1.0, 0.5], [0.5, 1.0]]), ["a", "b"])
        >>> np.ptp(figure.axes[0].collections[0].get_offsets()[:, 0]).round(3)  # arccos 0.5
        np.float64(60.0)
    """
    _count(similarity, names, "model_map")
    angles = np.degrees(angles_of(similarity))
    known = _complete(angles)
    places, share = classical_scaling(angles[np.ix_(known, known)])
    many = len(known) > MANY and families is not None
    figure, axes = axes_in(frame, "text" if many else "column", height=1.0, wide=0.8)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.05 if many else 0.2)
    if not many:
        axes.scatter(places[:, 0], places[:, 1], s=14, color=BLUE, zorder=3, linewidth=0)
    for axis, value in zip((axes.xaxis, axes.yaxis), share, strict=True):
        axis.set_label_text(f"degrees ({value:.0%} of squared distances)")
    axes.grid(color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
    if many and families is not None:
        draw_families(axes, places, [families[place] for place in known])
        return figure
    figure.draw_without_rendering()
    if len(known) <= MANY:
        name_points(axes, list(places[:, 0]), list(places[:, 1]), [names[place] for place in known])
    return figure


def clustered(similarity: Floats) -> tuple[list[int], dict[str, Any] | None]:
    """Models in the order of the leaves of their tree, those without a similarity last; and the tree, if there is one.

    Args:
        similarity: (models, models).

    Example:
        >>> clustered(np.array([[1.0, 0.2, 0.9], [0.2, 1.0, 0.3], [0.9, 0.3, 1.0]]))[0]
        [1, 2, 0]
    """
    angles = angles_of(similarity)
    known = np.flatnonzero(np.isfinite(angles).sum(axis=1) > 1)
    tree = _tree(angles[np.ix_(known, known)]) if len(known) > 1 else None
    order = [int(known[leaf]) for leaf in tree["leaves"]] if tree else known.tolist()
    placed = set(order)
    return [*order, *(place for place in range(len(angles)) if place not in placed)], tree


def angles_of(similarity: Floats) -> Floats:
    """(models, models) angles in radians, arccos of similarities; NaN where there is none."""
    values = np.array(similarity, dtype=np.float64)
    angles = np.arccos(np.clip((values + values.T) / 2, -1.0, 1.0))
    np.fill_diagonal(angles, np.where(np.isfinite(np.diagonal(values)), 0.0, np.nan))
    return np.asarray(angles)


def classical_scaling(distances: Floats) -> tuple[Floats, Floats]:
    """Points in the plane whose distances are as near to those given as classical scaling makes them.

    Args:
        distances: (n, n), symmetric.

    Returns:
        (n, 2) points, centred, and the (2,) shares of the squared distances that each axis shows.

    Example:
        >>> points, share = classical_scaling(np.array([[0.0, 3.0], [3.0, 0.0]]))
        >>> np.ptp(points, axis=0).round(6).tolist(), share.round(6).tolist()
        ([3.0, 0.0], [1.0, 0.0])
    """
    count = len(distances)
    centring = np.eye(count) - 1.0 / count
    values, vectors = np.linalg.eigh(-centring @ np.square(distances) @ centring / 2)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = np.clip(np.r_[values, 0.0][:2], 0.0, None)
    two = np.column_stack([vectors, np.zeros(count)])[:, :2]
    two = two * np.where(two[np.abs(two).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)  # the same picture on any machine
    total = np.abs(values).sum()
    return np.asarray(two * np.sqrt(kept)), np.asarray(kept / total if total > 0 else np.zeros(2))


def draw_models(axes: Axes, matrix: Floats, names: Sequence[str], scale: Scale) -> AxesImage:
    """Draw a (models, models) matrix with its names, and its numbers where they fit."""
    image = draw_cells(axes, matrix, scale)
    if len(names) <= MANY:
        shown = distinct(names, 24)
        axes.set_xticks(range(len(names)), shown, rotation=90)
        axes.set_yticks(range(len(names)), shown)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(f"{len(names):,} models")
    if len(names) <= _WRITTEN:
        write_cells(axes, matrix, image)
    return image


def write_cells(axes: Axes, matrix: Floats, image: AxesImage) -> None:
    """Write the numbers into the cells of a heatmap, light on dark and dark on light, where they fit."""
    figure = figure_of(axes)
    figure.draw_without_rendering()
    cell = float(axes.get_window_extent().width) / figure.dpi * 72 / matrix.shape[1]  # points
    low, high = image.get_clim()
    digits = 3 if high - low < _NARROW else 2
    if cell < (digits + 1.3) * SMALL * 0.62:
        return
    for (row, column), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            red, green, blue, _ = image.to_rgba(np.asarray(value))
            light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
            text = "1" if value == 1 else f"{value:.{digits}f}".replace("0.", ".", 1)
            color = "black" if light else "white"
            axes.text(column, row, text, ha="center", va="center", fontsize=SMALL, color=color, gid="cell")


def _count(similarity: Floats, names: Sequence[str], kind: str) -> int:
    count = len(names)
    if count < 2:
        raise ValueError(f"{kind!r} is a picture of two or more models: given {count}")
    if np.shape(similarity) != (count, count):
        raise ValueError(f"similarities of shape {np.shape(similarity)} for {count} models: expected one row a model")
    return count


def _complete(angles: Floats) -> list[int]:
    """Models that have a distance to each other one: those with the fewest are left out, one at a time."""
    kept = list(range(len(angles)))
    while len(kept) > 1 and np.isnan(part := angles[np.ix_(kept, kept)]).any():
        kept.pop(int(np.isnan(part).sum(axis=1).argmax()))
    if len(kept) < 2:
        raise ValueError("no two of the models have a similarity")
    return kept


def _tree(angles: Floats) -> dict[str, Any]:
    from scipy.cluster.hierarchy import dendrogram, linkage
    from scipy.spatial.distance import squareform

    known = np.where(np.isfinite(angles), angles, np.pi / 2)
    joined = linkage(squareform(known, checks=False), "average", optimal_ordering=len(known) <= _ORDERED)
    return dict(dendrogram(joined, no_plot=True))


def _draw_tree(axes: Axes, tree: dict[str, Any], count: int) -> None:
    above = axes.inset_axes((0.0, 1.02, 1.0, 0.2))
    if count <= MANY:
        for x, y in zip(tree["icoord"], tree["dcoord"], strict=True):
            above.plot((np.array(x) - 5) / 10, np.degrees(y), color="0.25", linewidth=0.8, gid="join")
    else:
        from matplotlib.collections import LineCollection

        x, y = (np.asarray(tree[name]) for name in ("icoord", "dcoord"))
        joins = np.stack([(x - 5) / 10, np.degrees(y)], axis=-1)
        above.add_collection(LineCollection(list(joins), colors="0.25", linewidths=0.3))
        above.set_ylim(0, float(np.degrees(y).max()) * 1.05)
    above.set_xlim(-0.5, count - 0.5)
    above.set_ylim(bottom=0)
    above.set_xticks([])
    above.set_ylabel("angle (°)")
    above.spines[["top", "right", "bottom"]].set_visible(False)
    above.locator_params(axis="y", nbins=3)
