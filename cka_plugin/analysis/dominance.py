"""Dominant examples: the few that make a layer's first principal component, and what CKA is without them.

Source: Nguyen, Raghu & Kornblith 2022, on the origins of the block structure: the projections on the first component
are bimodal, those of a small set of examples some orders of magnitude above the median, and without that set the block
is gone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cka_plugin.analysis.components import Components
from cka_plugin.analysis.gram_vectors import GramVectors
from cka_plugin.analysis.subsets import cka_without_examples
from cka_plugin.similarity import Floats

FRACTIONS = (0.01, 0.05, 0.10)  # of the examples, the most dominant, left out
DOMINANT_FACTOR = 5.0  # times the median projection; of Gaussian projections one example in 1,300 would reach it


def dominance(found: Components, positions: Sequence[npt.NDArray[np.int64]], n_examples: int | None = None) -> Floats:
    """How far each example lies along each layer's first component: sqrt(λ1)|u1|, scaled to unit mean square.

    Args:
        found: the components of a model's layers.
        positions: which examples each minibatch holds. An example seen in several passes gets the mean of its values.
        n_examples: how many examples there are. Default: as many as `positions` names.

    Returns:
        (layers, n_examples); 0 for examples in no minibatch, NaN for layers without components.
    """
    count = max(int(np.max(chosen)) for chosen in positions) + 1 if n_examples is None else n_examples
    total = np.zeros((found.share.size, count))
    times = np.zeros(count)
    for index, chosen in enumerate(positions):
        np.add.at(total.T, chosen, np.abs(found.projections(index)).T)
        np.add.at(times, chosen, 1)
    total /= np.maximum(times, 1)
    seen = max(int((times > 0).sum()), 1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.sqrt(np.square(total).sum(axis=1, keepdims=True) / seen))


def ranking(dominances: Floats) -> npt.NDArray[np.intp]:
    """Examples, the most dominant first, by their mean over layers that have components; ties in the order of examples.

    dominances: (layers, n_examples).
    """
    return np.argsort(-_mean_over_layers(dominances), kind="stable")


def top_share(dominances: Floats, fraction: float) -> float:
    """Share of the squared projections, averaged over layers, that the most dominant `fraction` of examples holds.

    Example:
        >>> top_share(np.array([[3.0, 1, 0, 0, 0, 0, 0, 0, 0, 0]]), 0.1)
        0.9
    """
    energy = _mean_over_layers(np.square(dominances))
    top = ranking(dominances)[: how_many(fraction, energy.size)]
    return float(energy[top].sum() / energy.sum())


def dominant_set(dominances: Floats) -> npt.NDArray[np.intp]:
    """Examples whose mean dominance exceeds 5 times the median one: the upper mode where there are two."""
    mean = _mean_over_layers(dominances)
    return np.flatnonzero(mean > DOMINANT_FACTOR * np.median(mean))


def how_many(fraction: float, n_examples: int) -> int:
    """`fraction` of the examples, rounded up."""
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"fraction {fraction!r}: expected a number between 0 and 1, such as 0.01 for 1%")
    return math.ceil(round(fraction * n_examples, 9))


def _mean_over_layers(values: Floats) -> Floats:
    """(n_examples,) mean over the layers that are finite; zeros where none is."""
    finite = np.isfinite(values).all(axis=1)
    return np.asarray(values[finite].mean(axis=0)) if finite.any() else np.zeros(values.shape[1])


@dataclass(frozen=True)
class LeftOut:
    """CKA without the most dominant examples.

    Attributes:
        fraction: of the examples.
        count: how many examples that is.
        matrix: (layers, layers) CKA on the rest.
    """

    fraction: float
    count: int
    matrix: Floats


def cka_without_dominant_examples(
    a: GramVectors,
    order: Sequence[int] | npt.NDArray[np.intp],
    b: GramVectors | None = None,
    other_order: Sequence[int] | npt.NDArray[np.intp] | None = None,
    fractions: Sequence[float] = FRACTIONS,
) -> list[LeftOut]:
    """The effect of leaving out 1%, 5% and 10% of the examples, the most dominant, from all layers alike.

    Args:
        a: a representation, or anything else with its `vectors`, `diagonals`, `positions` and `passes`.
        order: all examples, the most dominant first: `ranking` of the layers in question.
        b: a second model's on the same minibatches; without it, `a` with itself.
        other_order: its ranking; the union of both sets is left out.
        fractions: of the examples, each in (0, 1).

    Raises:
        ValueError: a fraction outside (0, 1), unlike minibatches, or too little left.
    """
    results = []
    for fraction in fractions:
        top = how_many(fraction, len(order))
        gone = set(map(int, order[:top]))
        if other_order is not None:
            gone |= set(map(int, other_order[:top]))
        results.append(LeftOut(fraction, len(gone), cka_without_examples(a, sorted(gone), b).cka()))
    return results
