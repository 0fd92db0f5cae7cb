"""A measure of some chosen pairs of layers, beside what it gives by chance: cheaper than that of every two layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cka_plugin.analysis.grams import GramVectors
from cka_plugin.analysis.measures.gram_matrices import GramMatrices
from cka_plugin.analysis.measures.representations import Measured, Part, parts_of
from cka_plugin.core import Floats

DRAWS = 19  # the largest of 19 is reached by one more in 1 of 20

Pair = tuple[int, int]


@dataclass(frozen=True)
class MeasuredPairs:
    """A measure of pairs of layers.

    Attributes:
        value: (pairs,) mean over minibatches.
        low: (pairs,) lower end of its jackknife interval; NaN with fewer than 8 minibatches.
        high: (pairs,) upper end.
        chance: (pairs,) the largest of 19 draws in which the examples of one layer are permuted within minibatches.
    """

    value: Floats
    low: Floats
    high: Floats
    chance: Floats


def measured_pairs(
    a: GramVectors,
    b: GramVectors,
    pairs: Sequence[Pair],
    measure: str,
    *,
    seed: int = 0,
    level: float = 0.95,
    draws: int = DRAWS,
) -> MeasuredPairs:
    """A measure other than CKA of pairs of layers of two models.

    Args:
        a: a representation, or anything else with its `vectors`, `diagonals`, `positions` and `passes`.
        b: another on the same minibatches.
        pairs: positions of a layer of `a` and of one of `b`.
        measure: any but `cka`; see `similarity`.
        seed: of the permutations.
        level: of the intervals.
        draws: how many permutations; without any, `chance` is NaN.

    Raises:
        ValueError: unlike minibatches, an unknown measure, or no minibatch large enough.

    Example:
        >>> from cka_plugin.analysis.grams import pack_layers
        >>> x = np.random.default_rng(0).normal(size=(64, 5))
        >>> made = pack_layers([x, x[:, :1]], [np.arange(32), np.arange(32, 64)])
        >>> measured_pairs(made, made, [(0, 0), (1, 1)], "mutual_knn").value.tolist()
        [1.0, 1.0]
    """
    rng = np.random.default_rng(seed)
    values, weights, passes = [], [], []
    null = np.zeros((draws, len(pairs)))
    for part in parts_of(a, b, measure):
        of_pair = _each(part, pairs)
        values.append(_values(part, of_pair, lambda right: right))
        weights.append(part.weight)
        passes.append(part.pass_index)
        if part.pass_index == min(a.passes):
            for draw in range(draws):
                order = torch.from_numpy(rng.permutation(part.right.n))
                null[draw] += part.weight * _values(part, of_pair, lambda right, by=order: right.permuted(by))
    first = np.array(passes) == min(a.passes)
    found = Measured(np.stack(values)[:, :, None], np.array(weights), first)
    low, high = found.interval(level)
    reached = null / np.array(weights)[first].sum()
    chance = reached.max(axis=0) if draws else np.full(len(pairs), np.nan)
    return MeasuredPairs(found.mean()[:, 0], low[:, 0], high[:, 0], chance)


def _each(part: Part, pairs: Sequence[Pair]) -> list[tuple[GramMatrices, GramMatrices] | None]:
    """The two layers of each pair in one minibatch, each made once; None where one of them has no Gram matrix."""
    left, right = _layers(part.left, part.rows.tolist()), _layers(part.right, part.columns.tolist())
    return [(left[i], right[j]) if i in left and j in right else None for i, j in pairs]


def _layers(grams: GramMatrices, rows: list[int]) -> dict[int, GramMatrices]:
    return {row: GramMatrices(grams.k[place : place + 1], grams.precision) for place, row in enumerate(rows)}


def _values(
    part: Part,
    of_pair: Sequence[tuple[GramMatrices, GramMatrices] | None],
    arranged: Callable[..., Any],
) -> Floats:
    """(pairs,) the measure, with the examples of the right arranged anew."""
    found = [np.nan if both is None else float(part.measure(both[0], arranged(both[1]))[0, 0]) for both in of_pair]
    return np.array(found)
