"""Pointwise kernel alignment: how alike two layers place one example among the others of its minibatch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cka_plugin.analysis.grams import GramVectors, check_minibatches, double
from cka_plugin.core import Floats, unpack

Pairs = Sequence[tuple[int, int]]


def pointwise_alignment(a: GramVectors, b: GramVectors, pairs: Pairs) -> Floats:
    """s_i = <A_i, B_i> / (|A_i| |B_i|), rows of the U-centred Gram matrices of two layers.

    1: the example has the same neighbours at the same relative similarities in both layers; 0: its similarities to the
    others have nothing in common. An example seen in several passes gets the mean of its values.

    Args:
        a: a representation, or anything else with its `vectors`, `diagonals`, `positions` and `passes`.
        b: another on the same minibatches.
        pairs: (layer of a, layer of b), by position.

    Returns:
        (n_examples, pairs); NaN for dead layers, and where an example has no similarity to any other.

    Raises:
        ValueError: unlike minibatches.

    Source: Kolling et al. 2023 (pointwise normalised kernel alignment), on the unbiased Gram matrices of CKA.

    Example:
        >>> from cka_plugin.analysis.grams import pack_layers
        >>> x = np.random.default_rng(0).normal(size=(16, 5))
        >>> layers = pack_layers([x], [np.arange(16)])
        >>> bool(abs(pointwise_alignment(layers, layers, [(0, 0)]) - 1).max() < 1e-9)
        True
    """
    check_minibatches(a, b)
    count = max(int(np.max(chosen)) for chosen in a.positions) + 1
    total, times = np.zeros((count, len(pairs))), np.zeros(count)
    for x, y, chosen in zip(a.vectors, b.vectors, a.positions, strict=True):
        for column, (i, j) in enumerate(pairs):
            total[chosen, column] += _rows_alike(unpack(double(x[i])), unpack(double(y[j]))).numpy()
        times[chosen] += 1
    with np.errstate(invalid="ignore"):
        return np.asarray(total / times[:, None])


def chance_alignment(a: GramVectors, b: GramVectors, pairs: Pairs, draws: int = 20, seed: int = 0) -> Floats:
    """The mean over `pairs` of the pointwise alignment of examples that have nothing to do with one another.

    The examples of `b` are permuted within minibatches, in all layers alike. Of isotropic layers a value scatters
    around 0 by about 1/sqrt(n) in minibatches of n; of layers that few directions dominate, by more.

    Args:
        a: as for `pointwise_alignment`, like `b` and `pairs`.
        b: another.
        pairs: of layers.
        draws: how many permutations.
        seed: of the draws.

    Returns:
        (draws * n,) values, of the first pass; those that are undefined are left out.
    """
    check_minibatches(a, b)
    rng = np.random.default_rng(seed)
    found = []
    first = [index for index, number in enumerate(a.passes) if number == min(a.passes)]
    for index in first:
        left = [unpack(double(a.vectors[index][i])) for i, _ in pairs]
        right = [unpack(double(b.vectors[index][j])) for _, j in pairs]
        for _ in range(draws):
            order = torch.from_numpy(rng.permutation(len(left[0])))
            rows = [_rows_alike(x, y[order][:, order]) for x, y in zip(left, right, strict=True)]
            found.append(mean_over_layers(torch.stack(rows, dim=1).numpy()))
    values = np.concatenate(found)
    return np.asarray(values[np.isfinite(values)])


def mean_over_layers(alignment: Floats) -> Floats:
    """(n,) mean of (n, layers) over what is finite; NaN where nothing is."""
    finite = np.isfinite(alignment)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(finite, alignment, 0.0).sum(1) / finite.sum(1))


def _rows_alike(x: Tensor, y: Tensor) -> Tensor:
    """(n,) cosines of the rows of two (n, n) matrices."""
    return (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1))
