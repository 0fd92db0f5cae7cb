"""Dominant examples: the few that make a layer's first principal component, and what CKA is without them.

Source: Nguyen, Raghu & Kornblith 2022, on the origins of the block structure: the projections on the first component
are bimodal, those of a small set of examples some orders of magnitude above the median, and without that set the block
is gone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cka_plugin.analysis.components.principal import Components, components
from cka_plugin.analysis.grams import GramVectors, cka_sums
from cka_plugin.analysis.subsets import cka_without_examples
from cka_plugin.core import Floats
from cka_plugin.tables import Result, json_safe, text_table

if TYPE_CHECKING:
    import pandas as pd

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


@dataclass(frozen=True, repr=False)
class WithoutDominant(Result):
    """The effect of the fraction of dominant examples left out; made by `without_dominant_examples`.

    Attributes:
        matrix: (layers_a, layers_b) CKA on all examples.
        left_out: CKA on the rest, one entry a fraction.
        rows: layers of `a` that the means are over: those of its block, or all.
        columns: of `b`.
        of_one_model: whether it is a model with itself, so that means are of two different layers.
    """

    matrix: Floats
    left_out: list[LeftOut]
    rows: range
    columns: range
    of_one_model: bool = False

    def means(self) -> list[float]:
        """Mean CKA of two layers on all examples, then for each fraction left out; of one model, of different ones."""
        return [self._mean(self.matrix), *(self._mean(part.matrix) for part in self.left_out)]

    def _mean(self, matrix: Floats) -> float:
        part = matrix[self.rows.start : self.rows.stop, self.columns.start : self.columns.stop]
        if self.of_one_model:
            part = part[np.triu_indices(len(part), 1)]
        finite = part[np.isfinite(part)]
        return float(finite.mean()) if finite.size else math.nan

    def to_frame(self) -> pd.DataFrame:
        """One row a fraction, the first with nothing left out: `fraction`, `count`, `mean_cka`."""
        import pandas as pd

        return pd.DataFrame(
            {
                "fraction": [0.0, *(part.fraction for part in self.left_out)],
                "count": [0, *(part.count for part in self.left_out)],
                "mean_cka": self.means(),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-safe."""
        return super().to_dict() | {"mean_cka": json_safe(self.means())}

    def __repr__(self) -> str:
        fractions, counts = [0.0, *(p.fraction for p in self.left_out)], [0, *(p.count for p in self.left_out)]
        rows = [(f"{f:.0%}", n, mean) for f, n, mean in zip(fractions, counts, self.means(), strict=True)]
        return text_table(rows, ["left out, most dominant first", "examples", "mean CKA"])


def without_dominant_examples(
    models: Sequence[GramVectors],
    blocks: Sequence[range | None],
    fractions: Sequence[float] = FRACTIONS,
) -> WithoutDominant:
    """CKA of one model with itself, or of two, without the examples that dominate the layers in question.

    Args:
        models: one representation, or two on the same minibatches.
        blocks: for each model, the layers whose first components say which examples dominate; None for all.
        fractions: of the examples, each in (0, 1).

    Raises:
        ValueError: a fraction outside (0, 1), unlike minibatches, or too little left.

    Example:
        >>> from cka_plugin.analysis.grams import pack_layers
        >>> rng = np.random.default_rng(0)
        >>> outliers = np.zeros((64, 6)); outliers[:4] = 100
        >>> made = pack_layers([outliers + rng.normal(size=(64, 6)) for _ in range(3)], [np.arange(64)])
        >>> before, after = without_dominant_examples([made], [None], [0.1]).means()
        >>> before > 0.9, abs(after) < 0.2
        (True, True)
    """
    orders, spans = [], []
    for model, block in zip(models, blocks, strict=True):
        found = components(model)
        span = range(found.share.size) if block is None else block
        orders.append(ranking(dominance(found, model.positions)[span.start : span.stop]))
        spans.append(span)
    other = models[1] if len(models) > 1 else None
    other_order = orders[1] if len(models) > 1 else None
    left_out = cka_without_dominant_examples(models[0], orders[0], other, other_order, fractions)
    return WithoutDominant(cka_sums(models[0], other).cka(), left_out, spans[0], spans[-1], other is None)
