"""Similarities of very many models: the CKA of all pairs of layers, a tile of models by models at a time.

A pair of models is a small matrix product, and a million of them are slow; those of a tile are one large product. What
is kept of a tile is a sum over minibatches, and in the end one number a pair of models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from cka_plugin.core import Floats, Sums, inner_products, self_products
from cka_plugin.representation import Representation
from cka_plugin.storage.vectors import release

TILE_LAYERS = 1024  # on either side of a tile: large enough for a fast product, 8 MB of sums
TILE_MODELS = 200  # on either side: their files are open at once


def cut(layers: Sequence[int], most: int = TILE_LAYERS) -> list[range]:
    """Models in groups of at most so many layers, and of 200 models; a model with more layers has one of its own.

    Args:
        layers: of each model.
        most: layers of a group.

    Example:
        >>> cut([3, 3, 3, 9, 1], most=6)
        [range(0, 2), range(2, 3), range(3, 4), range(4, 5)]
    """
    starts, held = [0], 0
    for place, count in enumerate(layers):
        if held and (held + count > most or place - starts[-1] == TILE_MODELS):
            starts.append(place)
            held = 0
        held += count
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], len(layers)], strict=True)]


def tile_sums(
    rows: Sequence[Representation], columns: Sequence[Representation], minibatches: range, estimator: str
) -> Floats:
    """Inner products of all layers of some models with all layers of others, summed over minibatches.

    Args:
        rows: models, of the same examples as the others.
        columns: the others.
        minibatches: which.
        estimator: `unbiased` or `biased`.

    Returns:
        (layers of all rows, layers of all columns) float64.
    """
    shape = [sum(len(model.layers) for model in side) for side in (rows, columns)]
    total = np.zeros((shape[0], shape[1]))
    for number in minibatches:
        vectors_a, diagonals_a = _side_by_side(rows, number)
        vectors_b, diagonals_b = (vectors_a, diagonals_a) if columns is rows else _side_by_side(columns, number)
        total += inner_products(vectors_a, diagonals_a, vectors_b, diagonals_b, estimator)
    return total


def own_sums(models: Sequence[Representation], minibatches: range, estimator: str) -> Floats:
    """Inner product of each layer with itself, summed over minibatches: (layers of all,); NaN for dead layers."""
    found = []
    for model in models:
        total = np.array([np.nan if layer.name in model.problems else 0.0 for layer in model.layers])
        for number in minibatches:
            minibatch = model.minibatches[number]
            total += self_products(minibatch.vectors, minibatch.diagonals, estimator)
            release(minibatch.vectors)
        found.append(total)
    return np.concatenate(found)


def tile_means(
    sums: Floats, own: tuple[Floats, Floats], depths: tuple[Sequence[npt.ArrayLike], Sequence[npt.ArrayLike]]
) -> Floats:
    """(models of the rows, models of the columns): the mean CKA of layers at equal depth of every pair of a tile.

    Args:
        sums: (layers, layers), as `tile_sums` gives them, over all minibatches.
        own: of the layers of the rows and of the columns, as `own_sums` gives them.
        depths: relative depths of the layers of each model of the rows, and of the columns.
    """
    cka = Sums(sums[None], own[0][None], own[1][None], np.array([True])).cka()
    alike = [_of_equal_depths(side) for side in depths]
    table = np.full((len(depths[0]), len(depths[1])), np.nan)
    for depths_a, (models_a, layers_a) in alike[0].items():
        for depths_b, (models_b, layers_b) in alike[1].items():
            part = cka[layers_a[:, None, :, None], layers_b[None, :, None, :]]
            table[np.ix_(models_a, models_b)] = _means(part, np.asarray(depths_a), np.asarray(depths_b))
    return table


def similarity_of_many(models: Mapping[str, Representation], estimator: str) -> Floats:
    """(models, models) mean CKA of layers at equal depth of every two models, with 1 on the diagonal.

    Args:
        models: by name; those that lie in files are read a tile at a time.
        estimator: `unbiased` or `biased`.
    """
    names = list(models)
    depths = [[layer.depth for layer in models[name].layers] for name in names]
    groups = cut([len(each) for each in depths])
    every = range(len(models[names[0]].minibatches))
    own: list[Floats] = []
    table = np.eye(len(names))
    for number, columns in enumerate(groups):
        right = [models[names[place]] for place in columns]
        own.append(own_sums(right, every, estimator))
        for rows, own_rows in zip(groups[: number + 1], own, strict=True):
            left = right if rows is columns else [models[names[place]] for place in rows]
            sums = tile_sums(left, right, every, estimator)
            place_tile(table, (rows, columns), tile_means(sums, (own_rows, own[number]), _of(depths, rows, columns)))
    return table


def place_tile(table: Floats, at: tuple[range, range], means: Floats) -> None:
    """Put the means of a tile into the (models, models) table, on both sides of its diagonal, which stays 1."""
    rows, columns = at
    table[rows.start : rows.stop, columns.start : columns.stop] = means
    table[columns.start : columns.stop, rows.start : rows.stop] = means.T
    if rows == columns:  # both triangles were made; the upper one is for both, as for a pair
        inner = np.triu(means, 1)
        table[rows.start : rows.stop, rows.start : rows.stop] = inner + inner.T + np.eye(len(rows))


def _of(
    depths: Sequence[npt.ArrayLike], rows: range, columns: range
) -> tuple[list[npt.ArrayLike], list[npt.ArrayLike]]:
    return [depths[place] for place in rows], [depths[place] for place in columns]


def _side_by_side(models: Sequence[Representation], number: int) -> tuple[npt.NDArray[np.float32], Floats]:
    """Vectors and diagonals of all layers of some models in one minibatch."""
    vectors = np.concatenate([model.minibatches[number].vectors for model in models], dtype=np.float32)
    diagonals = np.concatenate([model.minibatches[number].diagonals for model in models], dtype=np.float64)
    for model in models:
        release(model.minibatches[number].vectors)
    return vectors, diagonals


def _of_equal_depths(
    depths: Sequence[npt.ArrayLike],
) -> dict[tuple[float, ...], tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Models whose layers lie at the same depths: their places, and (models, layers) the places of their layers."""
    starts = np.cumsum([0, *(len(np.atleast_1d(each)) for each in depths)])
    alike: dict[tuple[float, ...], list[int]] = {}
    for place, each in enumerate(depths):
        alike.setdefault(tuple(np.atleast_1d(each).tolist()), []).append(place)
    return {
        each: (np.array(places, dtype=np.intp), starts[places][:, None] + np.arange(len(each)))
        for each, places in alike.items()
    }


def _means(cka: Floats, depths_a: npt.NDArray[np.float64], depths_b: npt.NDArray[np.float64]) -> Floats:
    """`mean_at_equal_depth` of many pairs at once: (models, models, layers, layers) to (models, models)."""
    gap = np.abs(np.subtract.outer(depths_a, depths_b))
    forward = cka[:, :, np.arange(len(depths_a)), gap.argmin(1)]
    backward = cka[:, :, gap.argmin(0), np.arange(len(depths_b))]
    return np.asarray((_mean_of_finite(forward) + _mean_of_finite(backward)) / 2)


def _mean_of_finite(values: Floats) -> Floats:
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(finite, values, 0.0).sum(-1) / finite.sum(-1))
