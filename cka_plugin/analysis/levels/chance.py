"""The level that a similarity reaches by chance: the examples of one model permuted within minibatches.

That null is independence, which nearly any two networks on the same data reject: it is no evidence of learned
similarity. The level of untrained networks, and CKA to the inputs and to the labels, are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from cka_plugin.analysis.grams import GramVectors, cka_sums, double
from cka_plugin.analysis.measures.registry import CKA
from cka_plugin.analysis.measures.representations import parts_of
from cka_plugin.core import Floats, Sums, pack, unpack
from cka_plugin.tables import Result, short

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 199
LEVEL = 0.95
_TIE = 1e-12  # of two sums of the same numbers in another order


@dataclass(frozen=True, repr=False)
class ChanceLevel(Result):
    """What independent representations would give.

    Attributes:
        level: (layers_a, layers_b) the 95% quantile of the similarity by chance, cell by cell.
        p: (layers_a, layers_b) (1 + draws that reach the similarity found) / (draws + 1).
        best_level: (layers_a,) the 95% quantile of the largest of a layer of `a` with any of `b`, by chance.
        best_p: (layers_a,) p of the best match, against the largest over the layers of `b` in each draw.
        largest_p: p of the largest entry of the matrix, against the largest of each draw.
        draws: how many permutations; the smallest p is 1 / (draws + 1).
        similarity: (layers_a, layers_b) what was found, on the first pass over the data, as the draws are.
        measure: of similarity.
    """

    level: Floats
    p: Floats
    best_level: Floats
    best_p: Floats
    largest_p: float
    draws: int
    similarity: Floats
    measure: str = CKA

    @property
    def what(self) -> str:
        """The measure as it is written in a table."""
        return "CKA" if self.measure == CKA else self.measure

    def to_frame(self) -> pd.DataFrame:
        """One row a pair of layers: their positions, `level` and `p`."""
        import pandas as pd

        rows, columns = np.indices(self.level.shape)
        return pd.DataFrame({"a": rows.ravel(), "b": columns.ravel(), "level": self.level.ravel(), "p": self.p.ravel()})

    def __repr__(self) -> str:
        finite = self.level[np.isfinite(self.level)]
        span = f"{finite.min():.3f} to {finite.max():.3f}" if finite.size else "undefined"
        return (
            f"Independent representations would reach a {self.what} of {span} in one draw of 20; the largest found has "
            f"p = {short(self.largest_p)} (smallest possible with {self.draws} draws: {short(1 / (self.draws + 1))})\n"
            "Nearly any two networks on the same data exceed that level: it is no evidence of learned similarity."
        )


def chance_level(
    a: GramVectors, b: GramVectors, draws: int = DRAWS, seed: int = 0, measure: str = CKA, **options: Any
) -> ChanceLevel:
    """The similarity of two models whose examples have nothing to do with one another.

    In each draw the examples of `b` are permuted within each minibatch, in all its layers alike, so that the largest
    over layers keeps its distribution. Only the first pass over the data is used. A draw costs as much as comparing.

    Args:
        a: a representation, or anything else with its `vectors`, `diagonals`, `positions` and `passes`.
        b: another on the same minibatches.
        draws: how many permutations.
        seed: of the draws.
        measure: `cka` (unbiased) or another: see `cka_plugin.similarity`.
        options: of the measure.

    Raises:
        ValueError: unlike minibatches, no draws, or an unknown measure or option.
    """
    if draws < 1:
        raise ValueError(f"draws {draws}: at least one permutation is needed")
    if measure == CKA and not options:
        return _summary(*_null_of_cka(a, b, draws, seed), measure)
    return _summary(*_null_of_measure(a, b, (draws, seed), measure, options), measure)


def _null_of_cka(a: GramVectors, b: GramVectors, draws: int, seed: int) -> tuple[Floats, Floats]:
    """CKA as it is, and (draws, layers_a, layers_b) by chance."""
    observed = _first_pass(cka_sums(a, b))
    rng = np.random.default_rng(seed)
    first = [index for index, number in enumerate(a.passes) if number == min(a.passes)]
    xy = np.zeros((draws, *observed.shape))
    xx, yy = np.zeros(observed.shape[0]), np.zeros(observed.shape[1])
    for index in first:
        of_a = double(a.vectors[index])
        matrices = unpack(double(b.vectors[index]))
        xx += 2 * of_a.square().sum(1).numpy()
        yy += matrices.square().sum((1, 2)).numpy()
        for draw in range(draws):
            order = torch.from_numpy(rng.permutation(matrices.shape[-1]))
            xy[draw] += 2 * (of_a @ pack(matrices[:, order][:, :, order]).T).numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        return observed, xy / np.sqrt(np.outer(xx, yy))


def _null_of_measure(
    a: GramVectors, b: GramVectors, how: tuple[int, int], measure: str, options: Mapping[str, Any]
) -> tuple[Floats, Floats]:
    """Another measure as it is, and by chance; how: draws and seed."""
    draws, seed = how
    rng = np.random.default_rng(seed)
    observed, null, weight = None, None, 0.0
    for part in parts_of(a, b, measure, **options):
        if part.pass_index > min(a.passes):
            continue
        if observed is None or null is None:
            observed, null = np.zeros(part.shape), np.zeros((draws, *part.shape))
        observed += part.weight * part.between(part.right)
        weight += part.weight
        for draw in range(draws):
            order = torch.from_numpy(rng.permutation(part.right.n))
            null[draw] += part.weight * part.between(part.right.permuted(order))
    assert observed is not None
    assert null is not None
    return observed / weight, null / weight


def _first_pass(sums: Sums) -> Floats:
    chosen = sums.first_pass
    return Sums(sums.xy[chosen], sums.xx[chosen], sums.yy[chosen], chosen[chosen]).cka()


def _summary(observed: Floats, null: Floats, measure: str) -> ChanceLevel:
    """observed: (layers_a, layers_b); null: (draws, layers_a, layers_b). NaN for layers without a CKA."""
    draws = len(null)
    best = _largest(null, axis=2)
    return ChanceLevel(
        level=np.quantile(null, LEVEL, axis=0),
        p=_p(observed, null),
        best_level=np.quantile(best, LEVEL, axis=0),
        best_p=_p(_largest(observed, axis=1), best),
        largest_p=float(_p(_largest(observed.ravel(), axis=0), _largest(null.reshape(draws, -1), axis=1))),
        draws=draws,
        similarity=observed,
        measure=measure,
    )


def _largest(values: Floats, axis: int) -> Floats:
    """The maximum over what is finite; NaN where nothing is."""
    largest = np.where(np.isfinite(values), values, -np.inf).max(axis=axis)
    return np.asarray(np.where(np.isfinite(largest), largest, np.nan))


def _p(observed: npt.NDArray[np.float64], null: Floats) -> Floats:
    reached = (null >= observed - _TIE).sum(axis=0)
    return np.asarray(np.where(np.isfinite(observed), (1 + reached) / (len(null) + 1), np.nan))
